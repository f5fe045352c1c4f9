"""A .tflite file and what belongs to it, in one folder that can be copied to a device."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from string import Template

from models.atomic_directory import atomic_directory
from models.errors import ModelError
from models.text import mediapipe_rules
from tflite.bundle.mediapipe_metadata import LABELS_FILE, VOCABULARY_FILE, Card, add_metadata
from tflite.host.edge_classifier import EdgeClassifier
from tflite.host.json_text import to_json
from tflite.host.labels import LabelSpace
from tflite.host.manifest import MODEL_FILE, Manifest, hash_file
from tflite.host.prediction import TaskType
from tflite.host.tokenizer import VOCABULARY_FILES, Tokenizer

GOLDEN_FILE = "golden.jsonl"
README_FILE = "README.md"
# Beside the user's own texts: what a tokenizer on another platform gets wrong first.
HARD_TEXTS = ("", "  ", "Hello, world!", "Ça va? Straße № 5…", "don't stop", "好电影", "x" * 120, "\u200b\u00ad 👍🏽")


def write_bundle(
    target: Path | str,
    content: bytes,
    manifest: Manifest,
    *,
    tokenizer: Tokenizer,
    labels: LabelSpace,
    card: Card,
    texts: Sequence[str] = (),
    pairs: Sequence[str] | None = None,
) -> Manifest:
    """Writes a bundle; the folder appears complete or not at all. Returns its manifest.

    Args:
        target: the folder.
        content: the .tflite file, without metadata.
        manifest: how it is asked; the hashes are filled in.
        tokenizer: of the model; texts are cut at the longest of the manifest's lengths.
        labels: the answers.
        card: what the metadata and the README say.
        texts: of the golden file, beside `HARD_TEXTS`; `pairs` their second texts, for a model about pairs.

    Raises:
        ModelError: the folder is not empty, the file cannot be run, or a label cannot stand in it.
    """
    longest = max(manifest.lengths)
    tokenizer = replace(tokenizer, max_length=min(tokenizer.max_length, longest))
    vocabulary = "".join(f"{token}\n" for token in tokenizer.vocabulary) if tokenizer.family == "wordpiece" else ""
    with atomic_directory(Path(target)) as folder:
        whole = add_metadata(content, manifest, card, vocabulary, labels.labels)
        (folder / MODEL_FILE).write_bytes(whole)
        tokenizer.save(folder)
        labels.save(folder)
        if labels.labels:
            (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in labels.labels), encoding="utf-8")
        hashes = {path.name: hash_file(path) for path in sorted(folder.iterdir())}
        manifest = replace(manifest, sha256=hashes)
        manifest.save(folder)
        _write_golden(folder, texts, pairs)
        (folder / README_FILE).write_text(_readme(manifest, tokenizer, labels, card, len(whole)), encoding="utf-8")
    return manifest


def check_golden(bundle: Path | str, tolerance: float = 1e-3) -> int:
    """Asks the bundle its golden texts again; returns how many there are.

    Raises:
        ModelError: token ids or answers are other ones than those that were written down.
    """
    classifier = EdgeClassifier(bundle)
    path = Path(bundle, GOLDEN_FILE)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows, start=1):
        texts = row["text"], row.get("text_pair")
        token_ids, _ = classifier.tokenizer(*texts)
        answer = classifier.predict(texts[:1], None if texts[1] is None else texts[1:])[0].as_dict()
        spread = classifier.labels.std if answer.keys() == {"score"} else 1.0
        if token_ids != row["token_ids"] or abs(answer["score"] - row["score"]) > tolerance * spread:
            raise ModelError(
                f"line {number} of {path} is answered otherwise",
                got=f"ids {token_ids[:12]}, score {answer['score']:.6g}",
                expected=f"ids {row['token_ids'][:12]}, score {row['score']:.6g}",
                fix="export the bundle anew, or look for another version of ai-edge-litert",
            )
    return len(rows)


def _write_golden(folder: Path, texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    classifier = EdgeClassifier(folder)
    every = [*HARD_TEXTS, *texts]
    seconds = [*reversed(HARD_TEXTS), *(pairs or texts)] if classifier.manifest.pairs else None
    lines = []
    for index, answer in enumerate(classifier.predict(every, seconds)):
        asked = {"text": every[index]} | ({"text_pair": seconds[index]} if seconds else {})
        token_ids, segment_ids = classifier.tokenizer(every[index], seconds[index] if seconds else None)
        row = {**asked, "token_ids": token_ids, "segment_ids": segment_ids, **answer.as_dict()}
        lines.append(to_json(row) + "\n")
    (folder / GOLDEN_FILE).write_text("".join(lines), encoding="utf-8")


def mediapipe_obstacle(manifest: Manifest, tokenizer: Tokenizer, labels: LabelSpace) -> str:
    """Why MediaPipe's TextClassifier cannot take the file, for people; empty where it can."""
    if len(manifest.lengths) != 1:
        return "a file of several signatures"
    if manifest.pairs:
        return "a model about pairs of texts"
    if not labels.labels:
        return "a model that answers a number, not labels"
    return mediapipe_rules.incompatibility(tokenizer)


def _readme(manifest: Manifest, tokenizer: Tokenizer, labels: LabelSpace, card: Card, size: int) -> str:
    obstacle = mediapipe_obstacle(manifest, tokenizer, labels)
    section = _template("bundle_mediapipe.md").substitute(mediapipe_note=_mediapipe_note(tokenizer))
    if obstacle:
        section = f"MediaPipe's TextClassifier does not run this file: {obstacle}.\n"
    return _template("bundle_readme.md").substitute(
        name=card.name,
        version=card.version,
        description=card.description,
        size=f"{size / 1e6:.2f}",
        variant=manifest.variant,
        tokens=max(manifest.lengths),
        metadata="" if obstacle else f"; with {VOCABULARY_FILE} and {LABELS_FILE} inside",
        vocabulary=VOCABULARY_FILES[tokenizer.family],
        labels_txt=f", `{LABELS_FILE}`" if labels.labels else "",
        lengths=", ".join(map(str, manifest.lengths)),
        signatures=", ".join(f"`{manifest.signature(length)}`" for length in manifest.lengths),
        output=manifest.output,
        shape=f"[1, {labels.outputs}]",
        example='"so good"',
        pair_argument=', ["so bad"]' if manifest.pairs else "",
        mediapipe=section,
        litert=_litert(manifest, labels),
    )


_MEANINGS: dict[TaskType, str] = {
    "single_label": "the probabilities of the labels in their order",
    "multi_label": "each label's own probability, in their order",
    "regression": "the number",
}


def _litert(manifest: Manifest, labels: LabelSpace) -> str:
    longest = max(manifest.lengths)
    return _template("bundle_litert.md").substitute(
        tokens=longest,
        pad_id=manifest.pad_id,
        outputs=labels.outputs,
        output=manifest.output,
        signature=manifest.signature(longest),
        meaning=_MEANINGS[manifest.task],
    )


def _mediapipe_note(tokenizer: Tokenizer) -> str:
    if tokenizer.mediapipe_compatible:
        return "the served model does the same (`tokenizer.mediapipe_compatible`), so that the token ids are equal."
    return (
        "the served model folds and strips them beyond ASCII too. Where your texts hold more, compare the answers with "
        "those of `golden.jsonl`, or train with `tokenizer.mediapipe_compatible: true`."
    )


def _template(name: str) -> Template:
    return Template(resources.files("tflite.bundle").joinpath(name).read_text(encoding="utf-8"))
