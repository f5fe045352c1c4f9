"""`transom init`: writes a transom.yaml for a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands.arguments import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "init",
        init,
        "inspect a table and write a commented transom.yaml",
        "Examines a table of labelled text (CSV, TSV, JSON Lines, Parquet) and works out which columns "
        "hold text and label (or two texts and a label), what kind of task it is, and how the rows are split; counts "
        "repeated texts and contradictions; suggests the least quality, above that of a constant answer, and a "
        "pretrained encoder (`transom presets`). Asks no questions and overwrites no file.",
        """
        transom init reviews.csv                        writes transom.yaml next to reviews.csv
        transom init data/train.csv --out transom.yaml  finds dev.csv and test.csv next to train.csv
        """,
    )
    parser.add_argument(
        "table", type=Path, metavar="FILE", help="the table: .csv, .tsv, .jsonl or .parquet, gzip-compressed or not"
    )
    parser.add_argument(
        "--out", type=Path, metavar="YAML", help="the file to write (default: transom.yaml next to FILE)"
    )


def init(options: argparse.Namespace) -> int:
    from pipeline.configuration.yaml_text import read_yaml
    from pipeline.init.new_project import write

    refusals: list[str] = []
    notes: list[str] = []
    written = write(options.table, options.out, refusals.append, notes.append)
    print(f"wrote {written}: read it, then `transom run {written}`")
    task = read_yaml(written.read_text(encoding="utf-8"))["task"]
    columns = ", ".join(f"{key} {task[key]!r}" for key in ("text", "text_pair", "label") if key in task)
    print(f"task:   {task['type']}, {columns}")
    for note in notes:
        print(f"worth a look: {note}")
    for refusal in refusals:
        print(f"the run will refuse these data until they are corrected: {refusal}")
    return 0
