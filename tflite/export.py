"""From a pushed model to an edge bundle, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.asking import check_pairs
from models.errors import ConfigError
from models.pushed import newest_version
from models.restore import Restored, restore
from tflite import flatbuffer
from tflite.bundle import write_bundle
from tflite.convert import convert
from tflite.manifest import Manifest
from tflite.metadata import Card
from tflite.quantize import Features, quantize
from tflite.tokenization import HostTokenizer
from tflite.variants import Variant

_GOLDEN_TEXTS = 50


def export_bundle(
    model_dir: Path | str,
    target: Path | str,
    *,
    variant: Variant = "dynamic_int8",
    lengths: Sequence[int] = (),
    texts: Sequence[str] = (),
    pairs: Sequence[str] | None = None,
) -> Manifest:
    """Writes the bundle of a pushed model; see `tflite.bundle`.

    Args:
        model_dir: a version, a push folder, or a run's output folder.
        target: the bundle's folder, new or empty.
        variant: how it is quantized.
        lengths: tokens of its signatures. Default: one, the model's longest input; MediaPipe runs no file of several.
        texts: real ones, `pairs` their second texts; variant "int8" is calibrated with them, the golden file has some.

    Raises:
        ModelError: there is no such model, it reads pairs and the texts are none (or the other way round), it cannot
            be converted, or the folder holds something.
        ConfigError: a length that the model does not have.
    """
    folder = newest_version(Path(model_dir))
    restored = restore(folder)
    longest = restored.tokenizer.max_length
    wrong = [length for length in lengths if not 4 <= length <= longest]
    if wrong:
        raise ConfigError(
            "the bundle's lengths", got=", ".join(map(str, wrong)), expected=f"4 to {longest} tokens, as the model has"
        )
    if texts:
        check_pairs(folder, restored.task.text_pair is not None, len(texts), None if pairs is None else len(pairs))
    manifest = _manifest(restored, variant, tuple(sorted(set(lengths))) or (longest,))
    plain = convert(restored.model, manifest, restored.labels)
    content = quantize(plain, variant, _calibration(restored, manifest, texts, pairs))
    file = flatbuffer.read(content)
    report = {
        "bytes": {"float32": len(plain), variant: len(content)},
        "operations": dict(flatbuffer.operations(file).most_common()),
        "source": str(folder),
    }
    manifest = replace(manifest, report={**manifest.report, **report})
    card = Card(manifest.name, f"Transom model, {restored.task.type}.", folder.name)
    return write_bundle(
        target,
        content,
        manifest,
        tokenizer=restored.tokenizer,
        labels=restored.labels,
        card=card,
        texts=texts[:_GOLDEN_TEXTS],
        pairs=pairs[:_GOLDEN_TEXTS] if pairs is not None else None,
    )


def _manifest(restored: Restored, variant: Variant, lengths: tuple[int, ...]) -> Manifest:
    return Manifest(
        name=restored.stored.get("name") or "transom",
        task=restored.task.type,
        pairs=restored.task.text_pair is not None,
        lengths=lengths,
        pad_id=restored.tokenizer.pad_id,
        threshold=restored.task.threshold,
        label_separator=restored.task.label_separator,
        variant=variant,
        report={"config": restored.stored},
    )


def _calibration(
    restored: Restored, manifest: Manifest, texts: Sequence[str], pairs: Sequence[str] | None
) -> dict[str, list[Features]]:
    """The texts as rows of every signature that holds them; the others are cut, so that each signature has rows."""
    if manifest.variant != "int8" or not texts:
        return {}
    found: dict[str, list[Features]] = {}
    for length in manifest.lengths:
        tokenizer = HostTokenizer(replace(restored.tokenizer, max_length=length))
        alone = replace(manifest, lengths=(length,))
        seconds: Sequence[str | None] = pairs or [None] * len(texts)
        rows = zip(texts, seconds, strict=True)
        found[manifest.signature(length)] = [alone.features(*tokenizer(text, pair)) for text, pair in rows]
    return found
