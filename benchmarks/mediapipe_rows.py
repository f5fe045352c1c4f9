"""How many rows of a data set MediaPipe's TextClassifier cuts otherwise than a default model: FOLDER…, each with CSVs.

    python benchmarks/mediapipe_rows.py DATA/sst2 DATA/atis

`tokenizer.mediapipe_compatible` leaves no such row: `tests/tflite/bundle/test_mediapipe.py` asks MediaPipe itself.
"""

from __future__ import annotations

import csv
import sys
import unicodedata
from collections import Counter
from pathlib import Path

from tflite.host.words import fold, split_words

CAUSES = ("accents and other marks", "case and forms beyond ASCII", "control, format, ignorable")


def causes(text: str) -> set[str]:
    """Why a row may be cut otherwise, by the characters that it holds."""
    found = set()
    for character in set(text) - set("\t\n\f\r"):
        decomposed = unicodedata.normalize("NFD", character)
        if any(unicodedata.category(part) == "Mn" for part in decomposed):
            found.add(CAUSES[0])
        if unicodedata.category(character) in ("Cc", "Cf") or not fold(character):
            found.add(CAUSES[2])
        base = "".join(part for part in decomposed if unicodedata.category(part) != "Mn")
        if not base.isascii() and base and (fold(base) != base or base == decomposed != character):
            found.add(CAUSES[1])
    return found


def main(folders: list[str]) -> None:
    print("| data | rows | cut otherwise | " + " | ".join(CAUSES) + " |\n|---|---|---|---|---|---|")
    for folder in map(Path, folders):
        rows: list[str] = []
        for path in sorted(folder.glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                rows += [row["text"] for row in csv.DictReader(file)]
        why: Counter[str] = Counter()
        touched = 0
        for text in rows:
            ours = list(split_words(text, lowercase=True, strip_accents=True))
            if ours != list(split_words(text, lowercase=True, strip_accents=True, mediapipe_compatible=True)):
                touched += 1
                why.update(causes(text) or {"other"})
        shares = " | ".join(f"{why[cause]:,}" for cause in CAUSES)
        print(f"| {folder.name} | {len(rows):,} | {touched:,} | {shares} |" + (" other!" if why["other"] else ""))


main(sys.argv[1:])
