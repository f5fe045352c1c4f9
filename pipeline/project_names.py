"""Valid names of a project, on this machine and on every target. Standard library only.

A name is used for a folder, for the served model in URLs and for the pipeline. Characters that Kubernetes and Kubeflow
do not accept are replaced ("_" by "-"): here for the pipeline, in `serving/deploy/plan.py` for manifests.
"""

from __future__ import annotations

import re
import unicodedata

PATTERN = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
MEANING = "at most 63 lower-case letters (a-z), digits, '-' and '_', with a letter or digit at both ends"
DEFAULT = "transom"
# The longest name that `transom deploy` uses unchanged.
_LONGEST = 40


def name_from_text(text: str) -> str:
    """The valid name closest to a text: "unicode-2" for "Ünïcode (2)"; `DEFAULT` if nothing is left of it."""
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    letters = "".join(character for character in bare if not unicodedata.combining(character))
    return re.sub(r"[^a-z0-9_]+", "-", letters)[:_LONGEST].strip("-_") or DEFAULT


def kubeflow_name(name: str) -> str:
    """The pipeline's name on Kubeflow and Vertex AI, which accept no underscores."""
    return name.replace("_", "-")
