"""The arguments of `transom edge`; standard library alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

Run = Callable[[argparse.Namespace], int]
Command = Callable[["Commands", str, Run, str, str], argparse.ArgumentParser]

VARIANTS = ("float32", "float16", "dynamic_int8", "weight_int8", "weight_int4", "int8")


def add(commands: Commands, command: Command, *, export: Run, run: Run, inspect: Run) -> None:
    """Adds `transom edge` and its commands.

    Args:
        command: makes the parser of a command: (commands, name, function, summary, description).
        export, run, inspect: the functions of the commands.
    """
    summary = "write, ask and look at bundles for phones and small devices"
    edge = commands.add_parser("edge", help=summary, description=summary.capitalize() + ".")
    steps = edge.add_subparsers(title="commands", required=True, metavar="COMMAND")
    parser = command(
        steps,
        "export",
        export,
        "write a bundle",
        "Converts a pushed model to a .tflite file with MediaPipe's metadata, and writes it with tokenizer, labels, "
        "golden texts and a README into BUNDLE, a new folder. Nothing is measured against a data set: do that before "
        "you ship it.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="output folder, push folder or version folder")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder to write")
    parser.add_argument("--variant", choices=VARIANTS, default="dynamic_int8", help="default: %(default)s")
    parser.add_argument(
        "--length",
        type=int,
        action="append",
        default=[],
        metavar="TOKENS",
        help="a signature for so many tokens; several times for several (default: the model's longest input)",
    )
    parser.add_argument("--file", type=Path, help="real texts, one a line: they calibrate int8, and some become golden")
    _verbose(parser)
    parser = command(
        steps, "run", run, "ask a bundle", "Prints label and score of each text, as `transom predict` does."
    )
    parser.add_argument("model", metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text to classify")
    parser.add_argument("--pair", action="append", default=[], metavar="TEXT", help="the second text of each TEXT")
    parser.add_argument("--file", type=Path, help="texts, one a line (for pairs: text, tab, other text)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, probabilities included")
    parser.set_defaults(served=None)
    _verbose(parser)
    parser = command(
        steps, "inspect", inspect, "what a bundle holds", "Signatures, operations, the largest constants, the files."
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    _verbose(parser)


def _verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="show what libraries print, and tracebacks")
