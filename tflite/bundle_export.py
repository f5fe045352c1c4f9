"""From a pushed model to an edge bundle, in one call; and to a bundle of each of several variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from models.errors import ConfigError
from models.saved.model_locations import newest_version
from models.saved.restore import RestoredModel, restore
from tflite.bundle.bundle_folder import write_bundle
from tflite.bundle.mediapipe_metadata import Card
from tflite.convert import flatbuffer
from tflite.convert.embedding_tables import sensitivity
from tflite.convert.keras_to_tflite import convert
from tflite.convert.quantize import Features, quantize
from tflite.convert.variants import INT4_TABLES, Variant
from tflite.convert.weight_check import check_whole
from tflite.host.edge_classifier import EdgeClassifier
from tflite.host.host_tokenizer import HostTokenizer
from tflite.host.json_text import finite
from tflite.host.manifest import Manifest
from tflite.host.prediction import check_pairs
from tflite.measure.parity import Row, ask_keras, compare

GOLDEN_ROWS = 50
CALIBRATION_ROWS = 200
"""Rows of the training split that a variant is made with; more change little."""


@dataclass(frozen=True)
class Plain:
    """A model converted to float32: what every variant is made of.

    Attributes:
        restored: the Keras model.
        content: the .tflite file.
        lengths: tokens of its signatures.
        source: what errors and the report call the model.
    """

    restored: RestoredModel
    content: bytes
    lengths: tuple[int, ...]
    source: str

    @property
    def name(self) -> str:
        """The project's."""
        return _name(self.restored)

    @classmethod
    def of(cls, folder: Path, lengths: Sequence[int] = ()) -> Plain:
        """Converts the SavedModel in a folder.

        Args:
            folder: one version.
            lengths: tokens of the signatures. Default: one, the model's longest input.

        Raises:
            ModelError: it cannot be restored or converted.
            ConfigError: a length that the model does not have.
        """
        restored = restore(folder)
        longest = restored.tokenizer.max_length
        wrong = [length for length in lengths if not 4 <= length <= longest]
        if wrong:
            raise ConfigError(
                "the bundle's lengths",
                got=", ".join(map(str, wrong)),
                expected=f"4 to {longest} tokens, as the model has",
            )
        chosen = tuple(sorted(set(lengths))) or (longest,)
        content = convert(restored.model, _manifest(restored, "float32", chosen), restored.labels)
        check_whole(content, restored.model, max(chosen))
        return cls(restored, content, chosen, str(folder))

    def features(self, rows: Sequence[Row]) -> dict[int, list[Features]]:
        """The rows as each signature takes them, by its length; what it does not hold is cut."""
        found: dict[int, list[Features]] = {}
        for length in self.lengths:
            tokenizer = HostTokenizer(replace(self.restored.tokenizer, max_length=length))
            alone = _manifest(self.restored, "float32", (length,))
            found[length] = [alone.features(*tokenizer(row.text, row.pair)) for row in rows]
        return found

    def write(
        self,
        target: Path | str,
        variant: Variant,
        card: Card,
        *,
        golden: Sequence[Row] = (),
        calibration: Sequence[Row] = (),
    ) -> Manifest:
        """Writes the bundle of a variant; see `tflite.bundle.bundle_folder`.

        Args:
            target: the bundle's folder, new or empty.
            variant: how it is quantized.
            card: what the metadata say; the description is added where there is none.
            golden: real rows; the golden file has the first fifty.
            calibration: real rows, which "int8" must have, and variants with int4 tables are better with.

        Raises:
            ModelError: the variant cannot be made or is not whole, or the folder holds something.
        """
        restored = self.restored
        manifest = _manifest(restored, variant, self.lengths)
        rows: dict[str, list[Features]] = {}
        if variant == "int8":
            rows = {manifest.signature(length): each for length, each in self.features(calibration).items()}
        felt = sensitivity(restored, calibration) if variant in INT4_TABLES else None
        content = quantize(self.content, variant, rows, felt)
        check_whole(content, restored.model, max(self.lengths))
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
            card=replace(card, description=card.description or f"Transom model, {restored.task.type}."),
            texts=[row.text for row in first],
            pairs=[row.pair or "" for row in first] if restored.task.text_pair is not None else None,
        )


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
        target: the bundle's folder, new or empty.
        variant: how it is quantized.
        lengths: tokens of its signatures. Default: one, the model's longest input; MediaPipe runs no file of several.
        texts: real ones, `pairs` their second texts. Variants that read rows (`variants.py`) are made with them,
            the golden file has some, and the answers to them are compared with Keras's: `report["parity"]` of the
            manifest, see `tflite.measure.parity`.

    Raises:
        ModelError: there is no such model, it reads pairs and the texts are none (or the other way round), it cannot
            be converted, or the folder holds something.
        ConfigError: a length that the model does not have.
    """
    folder = newest_version(Path(model_dir))
    plain = Plain.of(folder, lengths)
    rows: list[Row] = []
    if texts:
        pairs_read = plain.restored.task.text_pair is not None
        check_pairs(folder, pairs_read, len(texts), None if pairs is None else len(pairs))
        seconds: Sequence[str | None] = pairs or [None] * len(texts)
        rows = [Row(text, pair) for text, pair in zip(texts, seconds, strict=True)]
    card = Card(plain.name, version=folder.name)
    # From all over the file, which may be sorted by label.
    calibration = rows[:: -(-len(rows) // CALIBRATION_ROWS) or 1]
    manifest = plain.write(target, variant, card, golden=rows, calibration=calibration)
    if not rows:
        return manifest
    bundle = EdgeClassifier(target)
    parity = compare(bundle, ask_keras(plain.restored, rows, max(plain.lengths)), rows, min_slice_size=1)
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
        threshold=restored.task.threshold,
        label_separator=restored.task.label_separator,
        variant=variant,
        report={"config": restored.stored},
    )
