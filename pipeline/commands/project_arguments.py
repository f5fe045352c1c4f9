"""The arguments of the commands about a project; standard library alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.arguments import Run, add_command, add_config, add_verbose
from pipeline.steps import EDGE_STEPS, MEANINGS

if TYPE_CHECKING:
    from pipeline.commands.arguments import Commands


def add(commands: Commands, *, init: Run, run: Run, runs: Run, tensorboard: Run, schema: Run) -> None:
    """Adds `transom init`, `run`, `runs`, `tensorboard` and `schema`."""
    _add_init(commands, init)
    _add_run(commands, run)
    _add_runs(commands, runs)
    _add_tensorboard(commands, tensorboard)
    _add_schema(commands, schema)


def _add_init(commands: Commands, function: Run) -> None:
    parser = add_command(
        commands,
        "init",
        function,
        "look at a table and write a commented transom.yaml",
        "Reads the first rows of a table of labelled text (CSV, TSV, JSON Lines, Parquet) and works out which columns "
        "hold text and label, the kind of task, and how the rows are split. Asks nothing and overwrites nothing.",
        """
        transom init reviews.csv                        writes transom.yaml beside reviews.csv
        transom init data/train.csv --out transom.yaml  finds dev.csv and test.csv beside train.csv
        """,
    )
    parser.add_argument(
        "table", type=Path, metavar="FILE", help="the table: .csv, .tsv, .jsonl or .parquet, gzip-compressed or not"
    )
    parser.add_argument(
        "--out", type=Path, metavar="YAML", help="the file to write (default: transom.yaml beside FILE)"
    )
    add_verbose(parser)


def _add_run(commands: Commands, function: Run) -> None:
    width = max(map(len, MEANINGS)) + 2
    steps = [f"  {name:<{width}}{meaning}" for name, meaning in MEANINGS.items()]
    parser = add_command(
        commands,
        "run",
        function,
        "run the pipeline: train, measure, push",
        "Runs the pipeline that transom.yaml describes, a line per step. A step whose data, settings and code are "
        "unchanged is not repeated: its last result is used. A model that misses a threshold is not pushed (exit "
        "code 8), and what was pushed before stays.\n\nthe steps, for --from and --to:\n"
        + "\n".join(steps)
        + f"\n\n{' and '.join(EDGE_STEPS)} are left out where edge.variants is empty.",
        """
        transom run                                    the transom.yaml of the current folder
        transom run reviews/ --set train.epochs=3      another project, with one key changed
        transom run --to DataGate                      only look at the data
        transom run --from Evaluator                   measure the last model anew
        transom run --json > run.jsonl                 for a program to read
        """,
    )
    add_config(parser)
    parser.add_argument(
        "--from", dest="from_step", metavar="STEP", help="start here; what earlier steps wrote last is used"
    )
    parser.add_argument("--to", dest="to_step", metavar="STEP", help="stop after this step")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: steps, progress, result")
    parser.add_argument("--wait", action="store_true", help="wait while another run holds the project")
    add_verbose(parser)


def _add_runs(commands: Commands, function: Run) -> None:
    parser = add_command(
        commands,
        "runs",
        function,
        "list the runs of a project, and what came of each",
        "A line per run, oldest first: when it began, how long it took, how it ended and its metrics; below it the "
        "verdict, or where, when and why it stopped; and where its model is.\n"
        "How a run ended: pushed; not blessed (measured, and not good enough); finished (--to ended it before the "
        "push); failed (a step stopped it: wrong data, wrong settings, a full disk); interrupted (Ctrl-C, or its "
        "process was killed); running.",
        """
        transom runs                                   of the transom.yaml of the current folder
        transom runs reviews/                          of another folder's
        transom runs --json | tail -1 | jq .verdict    the last run's whole record is one JSON object
        """,
    )
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, whole records")
    add_verbose(parser)


def _add_tensorboard(commands: Commands, function: Run) -> None:
    parser = add_command(
        commands,
        "tensorboard",
        function,
        "open the training curves",
        "Starts TensorBoard on the training curves of the project's runs, on this machine alone, until Ctrl-C.",
        """
        transom tensorboard                            then open http://localhost:6006 in a browser
        transom tensorboard reviews/ --port 6007       another project, beside the first
        """,
    )
    add_config(parser)
    parser.add_argument("--port", type=int, default=6006, help="port on localhost (default: %(default)s)")
    add_verbose(parser)


def _add_schema(commands: Commands, function: Run) -> None:
    parser = add_command(
        commands,
        "schema",
        function,
        "print every key of transom.yaml",
        "Prints the JSON Schema of transom.yaml, with which an editor completes keys and explains them: write it to a "
        "file beside transom.yaml and put this line at the top of transom.yaml:\n"
        "  # yaml-language-server: $schema=transom.schema.json",
        """
        transom schema > transom.schema.json
        transom schema --markdown | less               a reference to read: docs/configuration.md
        """,
    )
    parser.add_argument("--markdown", action="store_true", help="a reference of every key instead")
    add_verbose(parser)
