"""Counts the rows of a data set that MediaPipe's TextClassifier tokenizes differently from a default model.

    python benchmarks/mediapipe_rows.py DATA/sst2 DATA/atis
    python benchmarks/mediapipe_rows.py --quick

Arguments are folders with CSV files. With `tokenizer.mediapipe_compatible` there are no such rows:
`tests/tflite/bundle/test_mediapipe.py` compares with MediaPipe itself. --quick uses ten made-up texts.
"""

from __future__ import annotations

import argparse
import csv
import sys
import unicodedata
from collections import Counter
from pathlib import Path

from tflite.host.words import fold, split_words

CAUSES = ("accents and other marks", "case and forms beyond ASCII", "control, format, ignorable")
QUICK_TEXTS = ("so good", "Café", "ÉCOLE", "ﬁlm", "zero\u200bwidth", "soft\u00adhyphen", "…", "好电影", "don't", "a\vb")


def causes(text: str) -> set[str]:
    """The possible reasons for a difference, by the characters of a row."""
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


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="a data set: CSV files with `text`")
    parser.add_argument("--quick", action="store_true", help="ten made-up texts instead of data sets")
    options = parser.parse_args()
    if not options.folders and not options.quick:
        parser.error("give a FOLDER, or --quick")
    print("| data | rows | tokenized differently | " + " | ".join(CAUSES) + " |\n|---|---|---|---|---|---|")
    for folder in options.folders:
        rows: list[str] = []
        for path in sorted(folder.glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                rows += [row["text"] for row in csv.DictReader(file)]
        print(_row(folder.name, rows))
    if options.quick:
        print(_row("made up", list(QUICK_TEXTS)))
    return 0


def _row(name: str, rows: list[str]) -> str:
    why: Counter[str] = Counter()
    differing = 0
    for text in rows:
        default = list(split_words(text, lowercase=True, strip_accents=True))
        if default != list(split_words(text, lowercase=True, strip_accents=True, mediapipe_compatible=True)):
            differing += 1
            why.update(causes(text) or {"other"})
    shares = " | ".join(f"{why[cause]:,}" for cause in CAUSES)
    return f"| {name} | {len(rows):,} | {differing:,} | {shares} |" + (" other!" if why["other"] else "")


if __name__ == "__main__":
    sys.exit(main())
