"""Exports a pushed model as an edge bundle, or as bundles of several variants."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from models.errors import ConfigError
from models.saved.model_locations import EXTRA_FOLDER, LINEAGE_FILE, newest_version
from models.saved.restore import RestoredModel, restore
from tflite.bundle.bundle_folder import write_bundle
from tflite.bundle.mediapipe_metadata import FileDescription
from tflite.convert import flatbuffer
from tflite.convert.embedding_tables import embedding_sensitivity
from tflite.convert.keras_to_tflite import convert
from tflite.convert.quantize import Features, quantize
from tflite.convert.variants import INT4_TABLES, Variant
from tflite.convert.weight_check import check_weights
from tflite.host.edge_classifier import EdgeClassifier
from tflite.host.host_tokenizer import HostTokenizer
from tflite.host.json_text import finite
from tflite.host.manifest import Manifest
from tflite.host.prediction import check_pairs
from tflite.measure.parity import TextRow, compare, keras_reference

GOLDEN_ROWS = 50
CALIBRATION_ROWS = 200
"""Rows of the training split for making a variant; more change little."""


@dataclass(frozen=True)
class Float32Model:
    """A model converted to float32, from which every variant is made."""

    restored: RestoredModel  # the Keras model
    content: bytes  # the .tflite file
    lengths: tuple[int, ...]  # tokens of each signature
    source: str  # the model's name in the report

    @property
    def name(self) -> str:
        """The project's name."""
        return _name(self.restored)

    @classmethod
    def from_version(cls, folder: Path, lengths: Sequence[int] = ()) -> Float32Model:
        """Converts the SavedModel in a folder.

        Args:
            lengths: tokens of each signature. Default: one, the model's longest input.

        Raises:
            ModelError: it cannot be restored or converted.
            ConfigError: a length is too short, or beyond the model's.
        """
        restored = restore(folder)
        longest = restored.tokenizer.max_length
        invalid = [length for length in lengths if not 4 <= length <= longest]
        if invalid:
            raise ConfigError(
                "the bundle's lengths",
                got=", ".join(map(str, invalid)),
                expected=f"4 to {longest} tokens, the model's limit",
            )
        chosen = tuple(sorted(set(lengths))) or (longest,)
        content = convert(restored.model, _manifest(restored, "float32", chosen), restored.labels)
        check_weights(content, restored.model, max(chosen))
        return cls(restored, content, chosen, str(folder))

    def features(self, rows: Sequence[TextRow]) -> dict[int, list[Features]]:
        """The inputs of each signature, by its length; longer rows are truncated."""
        features: dict[int, list[Features]] = {}
        for length in self.lengths:
            tokenizer = HostTokenizer(replace(self.restored.tokenizer, max_length=length))
            manifest = _manifest(self.restored, "float32", (length,))
            features[length] = [manifest.features(*tokenizer(row.text, row.pair)) for row in rows]
        return features

    def write_bundle(
        self,
        target: Path | str,
        variant: Variant,
        about: FileDescription,
        *,
        golden: Sequence[TextRow] = (),
        calibration: Sequence[TextRow] = (),
    ) -> Manifest:
        """Writes the bundle of a variant; see `tflite.bundle.bundle_folder`.

        Args:
            target: a new or empty folder.
            about: for the metadata; an empty description is filled in.
            golden: real rows; the golden file contains the first fifty.
            calibration: real rows, required for "int8" and better for variants with int4 tables.

        Raises:
            ModelError: the variant cannot be made or lacks weights, or the folder is not empty.
        """
        restored = self.restored
        manifest = _manifest(restored, variant, self.lengths)
        rows: dict[str, list[Features]] = {}
        if variant == "int8":
            rows = {manifest.signature(length): each for length, each in self.features(calibration).items()}
        sensitivity = embedding_sensitivity(restored, calibration) if variant in INT4_TABLES else None
        content = quantize(self.content, variant, rows, sensitivity)
        check_weights(content, restored.model, max(self.lengths))
        report = {
            "bytes": {"float32": len(self.content), variant: len(content)},
            "operations": dict(flatbuffer.operations(flatbuffer.read(content)).most_common()),
            "source": self.source,
        }
        first = golden[:GOLDEN_ROWS]
        return write_bundle(
            target,
            content,
            replace(manifest, report={**manifest.report, **report}),
            tokenizer=restored.tokenizer,
            labels=restored.labels,
            about=replace(about, description=about.description or _description(restored)),
            texts=[row.text for row in first],
            pairs=[row.pair or "" for row in first] if restored.task.text_pair is not None else None,
        )


def _description(restored: RestoredModel) -> str:
    trained = f", trained on {restored.framework}" if restored.framework else ""
    return f"Transom model, {restored.task.type}{trained}."


def export_bundle(
    model_dir: Path | str,
    target: Path | str,
    *,
    variant: Variant = "dynamic_int8",
    lengths: Sequence[int] = (),
    texts: Sequence[str] = (),
    pairs: Sequence[str] | None = None,
) -> Manifest:
    """Writes the bundle of a pushed model; see `tflite.bundle.bundle_folder`.

    Args:
        model_dir: a version, a push folder, or a run's output folder.
        target: a new or empty folder.
        lengths: tokens of each signature. Default: one, the model's longest input. MediaPipe runs no file with several.
        texts: real texts, `pairs` their second texts. They calibrate variants that read rows (`variants.py`), the
            golden file contains some of them, and the predictions are compared with Keras's: `report["parity"]` of the
            manifest, see `tflite.measure.parity`.

    Raises:
        ModelError: there is no such model, it reads pairs but there are none (or the reverse), it cannot be converted,
            or the folder is not empty.
        ConfigError: a length is too short, or beyond the model's.
    """
    folder = newest_version(Path(model_dir))
    float32 = Float32Model.from_version(folder, lengths)
    rows: list[TextRow] = []
    if texts:
        pairs_read = float32.restored.task.text_pair is not None
        check_pairs(folder, pairs_read, len(texts), None if pairs is None else len(pairs))
        seconds: Sequence[str | None] = pairs or [None] * len(texts)
        rows = [TextRow(text, pair) for text, pair in zip(texts, seconds, strict=True)]
    about = FileDescription(float32.name, version=folder.name)
    # Spread over the file, which may be sorted by label.
    calibration = rows[:: -(-len(rows) // CALIBRATION_ROWS) or 1]
    manifest = float32.write_bundle(target, variant, about, golden=rows, calibration=calibration)
    lineage = folder / EXTRA_FOLDER / LINEAGE_FILE
    if lineage.is_file():
        shutil.copyfile(lineage, Path(target, LINEAGE_FILE))
    if not rows:
        return manifest
    bundle = EdgeClassifier(target)
    parity = compare(bundle, keras_reference(float32.restored, rows, max(float32.lengths)), rows, min_slice_size=1)
    measured = replace(manifest, report={**manifest.report, "parity": finite(asdict(parity))})
    measured.save(Path(target))
    return measured


def _name(restored: RestoredModel) -> str:
    return restored.stored.get("name") or "transom"


def _manifest(restored: RestoredModel, variant: Variant, lengths: tuple[int, ...]) -> Manifest:
    return Manifest(
        name=_name(restored),
        task=restored.task.type,
        pairs=restored.task.text_pair is not None,
        lengths=lengths,
        pad_id=restored.tokenizer.pad_id,
        threshold=restored.task.probability_threshold,
        label_separator=restored.task.label_separator,
        variant=variant,
        report={"config": restored.stored},
    )
