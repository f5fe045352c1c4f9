"""Writes a bundle: a folder with a .tflite file and everything it needs, to be copied to a device."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from string import Template

from models.errors import ModelError
from models.text import mediapipe_rules
from models.whole_writes import atomic_directory
from tflite.bundle.mediapipe_metadata import LABELS_FILE, VOCABULARY_FILE, FileDescription, add_metadata
from tflite.host.edge_classifier import EdgeClassifier
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace
from tflite.host.manifest import MODEL_FILE, Manifest, hash_file
from tflite.host.prediction import TaskType
from tflite.host.tokenizer import VOCABULARY_FILES, Tokenizer

GOLDEN_FILE = "golden.jsonl"
README_FILE = "README.md"
# Added to the user's texts: what a tokenizer on another platform gets wrong first.
HARD_TEXTS = ("", "  ", "Hello, world!", "Ça va? Straße № 5…", "don't stop", "好电影", "x" * 120, "\u200b\u00ad 👍🏽")


def write_bundle(
    target: Path | str,
    content: bytes,
    manifest: Manifest,
    *,
    tokenizer: Tokenizer,
    labels: LabelSpace,
    about: FileDescription,
    texts: Sequence[str] = (),
    pairs: Sequence[str] | None = None,
) -> Manifest:
    """Writes a bundle; the folder appears complete or not at all. Returns its manifest.

    Args:
        content: the .tflite file, without metadata.
        manifest: its signatures; the hashes are filled in.
        tokenizer: of the model; texts are truncated to the longest of the manifest's lengths.
        about: described in the metadata and the README.
        texts: added to `HARD_TEXTS` in the golden file; `pairs` their second texts, for a model of text pairs.

    Raises:
        ModelError: the folder is not empty, the file cannot be run, or a label cannot be written to it.
    """
    longest = max(manifest.lengths)
    tokenizer = replace(tokenizer, max_length=min(tokenizer.max_length, longest))
    vocabulary = "".join(f"{token}\n" for token in tokenizer.vocabulary) if tokenizer.family == "wordpiece" else ""
    with atomic_directory(Path(target)) as folder:
        with_metadata = add_metadata(content, manifest, about, vocabulary, labels.labels)
        (folder / MODEL_FILE).write_bytes(with_metadata)
        tokenizer.save(folder)
        replace(labels, temperatures=()).save(folder)  # they are in the file's weights: no host may apply them again
        if labels.labels:
            (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in labels.labels), encoding="utf-8")
        hashes = {path.name: hash_file(path) for path in sorted(folder.iterdir())}
        manifest = replace(manifest, sha256=hashes)
        manifest.save(folder)
        _write_golden(folder, texts, pairs)
        (folder / README_FILE).write_text(
            _readme(manifest, tokenizer, labels, about, len(with_metadata)), encoding="utf-8"
        )
    return manifest


def check_golden(bundle: Path | str, tolerance: float = 1e-3) -> int:
    """Predicts the golden texts again; returns their number.

    Raises:
        ModelError: token ids or predictions differ from the golden ones.
    """
    classifier = EdgeClassifier(bundle)
    path = Path(bundle, GOLDEN_FILE)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows, start=1):
        texts = row["text"], row.get("text_pair")
        token_ids, _ = classifier.tokenizer(*texts)
        prediction = classifier.predict(texts[:1], None if texts[1] is None else texts[1:])[0].as_dict()
        spread = classifier.labels.std if prediction.keys() == {"score"} else 1.0
        if token_ids != row["token_ids"] or abs(prediction["score"] - row["score"]) > tolerance * spread:
            raise ModelError(
                f"the bundle no longer reproduces line {number} of {path}",
                got=f"ids {token_ids[:12]}, score {prediction['score']:.6g}",
                expected=f"ids {row['token_ids'][:12]}, score {row['score']:.6g}",
                fix="export the bundle again, or try another version of ai-edge-litert",
            )
    return len(rows)


def _write_golden(folder: Path, texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    classifier = EdgeClassifier(folder)
    all_texts = [*HARD_TEXTS, *texts]
    seconds = [*reversed(HARD_TEXTS), *(pairs or texts)] if classifier.manifest.pairs else None
    lines = []
    for index, prediction in enumerate(classifier.predict(all_texts, seconds)):
        row = {"text": all_texts[index]} | ({"text_pair": seconds[index]} if seconds else {})
        token_ids, segment_ids = classifier.tokenizer(all_texts[index], seconds[index] if seconds else None)
        ids = {"token_ids": token_ids, "segment_ids": segment_ids}
        lines.append(to_json({**row, **ids, **prediction.as_dict()}) + "\n")
    (folder / GOLDEN_FILE).write_text("".join(lines), encoding="utf-8")


def mediapipe_obstacle(manifest: Manifest, tokenizer: Tokenizer, labels: LabelSpace) -> str:
    """Why MediaPipe's TextClassifier cannot run the file; "" if it can."""
    if len(manifest.lengths) != 1:
        return "a file with several signatures"
    if manifest.pairs:
        return "a model of text pairs"
    if not labels.labels:
        return "a model that predicts a number, not labels"
    return mediapipe_rules.incompatibility(tokenizer)


def _readme(manifest: Manifest, tokenizer: Tokenizer, labels: LabelSpace, about: FileDescription, size: int) -> str:
    obstacle, longest = mediapipe_obstacle(manifest, tokenizer, labels), max(manifest.lengths)
    fields = {
        "name": about.name,
        "version": about.version,
        "description": about.description,
        "size": f"{size / 1e6:.2f}",
        "variant": manifest.variant,
        "tokens": longest,
        "metadata": "" if obstacle else f"; with {VOCABULARY_FILE} and {LABELS_FILE} inside",
        "vocabulary": VOCABULARY_FILES[tokenizer.family],
        "labels_txt": f", `{LABELS_FILE}`" if labels.labels else "",
        "lengths": ", ".join(map(str, manifest.lengths)),
        "signatures": ", ".join(f"`{manifest.signature(length)}`" for length in manifest.lengths),
        "signature": manifest.signature(longest),
        "output": manifest.output,
        "outputs": labels.outputs,
        "meaning": _MEANINGS[manifest.task] + (f" {manifest.threshold:g}" if manifest.task == "multi_label" else ""),
        "pad_id": manifest.pad_id,
        "pair_argument": ', ["so bad"]' if manifest.pairs else "",
        "mediapipe_note": _COMPATIBLE if tokenizer.mediapipe_compatible else _INCOMPATIBLE,
    }
    mediapipe = f"MediaPipe's TextClassifier does not run this file: {obstacle}.\n"
    if not obstacle:
        mediapipe = _template("bundle_mediapipe.md").substitute(fields)
    litert = _template("bundle_litert.md").substitute(fields)
    return _template("bundle_readme.md").substitute(fields, mediapipe=mediapipe, litert=litert)


_MEANINGS: dict[TaskType, str] = {
    "single_label": "the probabilities of the labels, in order",
    "multi_label": "each label's own probability, in order; a label is predicted if its probability is at least",
    "regression": "the predicted number",
}
_COMPATIBLE = "the served model does the same (`tokenizer.mediapipe_compatible`), so the token ids are equal."
_INCOMPATIBLE = """the served model folds case and strips accents beyond ASCII too. If your texts go beyond ASCII,
compare the predictions with `golden.jsonl`, or train with `tokenizer.mediapipe_compatible: true`."""


def _template(name: str) -> Template:
    return Template(resources.files("tflite.bundle").joinpath(name).read_text(encoding="utf-8"))
