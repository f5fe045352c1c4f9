"""What a project may be called, on this machine and on every target. Standard library only.

A name is a folder, a served model's name in URLs and a pipeline's name. What Kubernetes and Kubeflow would not take of
it they write otherwise ("_" as "-"): here for the pipeline, in `serving/deploy/plan.py` for manifests.
"""

from __future__ import annotations

import re
import unicodedata

PATTERN = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
MEANING = "at most 63 lower-case letters (a-z), digits, '-' and '_', with a letter or digit at both ends"
DEFAULT = "transom"
# What `transom deploy` can use as it is.
_LONGEST = 40


def name_from_text(text: str) -> str:
    """A name as near to a text as can be: "Ünïcode (2)" to "unicode-2"; `DEFAULT` where nothing is left of it."""
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    letters = "".join(character for character in bare if not unicodedata.combining(character))
    return re.sub(r"[^a-z0-9_]+", "-", letters)[:_LONGEST].strip("-_") or DEFAULT


def kubeflow_name(name: str) -> str:
    """The name of the pipeline on Kubeflow and Vertex AI, which know no underscore."""
    return name.replace("_", "-")
