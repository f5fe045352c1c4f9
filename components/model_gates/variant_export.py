"""The export of every configured edge variant, before any is measured."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from tfx import types

from components.config import CardConfig
from components.model_gates.edge_rows import edge_rows
from models.config import TaskConfig
from models.errors import ModelError
from tflite.bundle.mediapipe_metadata import FileDescription
from tflite.bundle_export import CALIBRATION_ROWS, GOLDEN_ROWS, Float32Model
from tflite.config import EdgeConfig
from tflite.convert.variants import READS_ROWS, VARIANTS, Variant
from tflite.host.json_text import to_json

USER_LOG, PROGRESS_LOG = logging.getLogger("transom"), logging.getLogger("transom.progress")
REFERENCE: Variant = "float32"
"""Always exported: the other variants' latency is compared with its latency."""
_BUNDLES_FILE = "bundles.json"


def export_variants(
    folder: Path, examples: types.Artifact, target: Path, task: TaskConfig, config: EdgeConfig, card: CardConfig
) -> None:
    """Writes `target/VARIANT/` for every configured variant and for float32, and `target/bundles.json`.

    A variant that cannot be exported is not an error here: `bundles.json` holds the reason.

    Args:
        folder: the SavedModel.
        examples: raw rows.
        card: its author and licence are written into the files.

    Raises:
        ConfigError: a length that the model does not have.
    """
    wanted = [variant for variant in VARIANTS if variant in (*config.variants, REFERENCE)]
    errors = _export(wanted, folder, examples, target, task, config, card)
    (target / _BUNDLES_FILE).write_text(to_json(errors, indent=1) + "\n", encoding="utf-8")


def load_export_errors(bundles: Path) -> dict[Variant, str]:
    """Reads `bundles.json`: variant to the reason why it could not be exported, "" if it was."""
    errors: dict[Variant, str] = json.loads((bundles / _BUNDLES_FILE).read_text(encoding="utf-8"))
    return errors


def _export(
    wanted: list[Variant],
    folder: Path,
    examples: types.Artifact,
    target: Path,
    task: TaskConfig,
    config: EdgeConfig,
    card: CardConfig,
) -> dict[Variant, str]:
    try:
        plain = Float32Model.from_version(folder, config.lengths)
    except ModelError as error:
        USER_LOG.warning("no edge bundle: %s", error)
        return dict.fromkeys(wanted, brief(error))
    golden = edge_rows(examples, "eval", task, GOLDEN_ROWS)
    calibration = edge_rows(examples, "train", task, CALIBRATION_ROWS) if set(wanted) & set(READS_ROWS) else []
    about = FileDescription(plain.name, version=_weights_digest(folder), author=card.author, licence=card.licence)
    errors: dict[Variant, str] = {}
    for number, variant in enumerate(wanted, start=1):
        PROGRESS_LOG.info("exporting %s, variant %d of %d", variant, number, len(wanted))
        try:
            plain.write_bundle(target / variant, variant, about, golden=golden, calibration=calibration)
            errors[variant] = ""
        except ModelError as error:
            USER_LOG.warning("edge variant %s: %s", variant, error)
            errors[variant] = brief(error)
    return errors


def brief(error: ModelError) -> str:
    """The error as `bundles.json` and the gate's report show it."""
    return f"{error.what}: {error.got}" if error.got else error.what


def _weights_digest(folder: Path) -> str:
    """Identifies the weights: the version under which the model will be pushed is not known yet."""
    digest = hashlib.sha256()
    for path in sorted((folder / "variables").iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
