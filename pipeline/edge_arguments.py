"""The arguments of `transom edge`; standard library alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.arguments import Run, add_command, add_group, add_texts, add_verbose
from tflite.variants import VARIANTS

if TYPE_CHECKING:
    from pipeline.arguments import Commands


def add(commands: Commands, *, export: Run, run: Run, inspect: Run) -> None:
    """Adds `transom edge` and its commands.

    Args:
        export, run, inspect: the functions of the commands.
    """
    steps = add_group(commands, "edge", "write, ask and look at bundles for phones and small devices")
    parser = add_command(
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
    add_verbose(parser)
    parser = add_command(
        steps, "run", run, "ask a bundle", "Prints label and score of each text, as `transom predict` does."
    )
    parser.add_argument("model", metavar="BUNDLE", help="the bundle's folder")
    add_texts(parser)
    parser.set_defaults(served=None)
    add_verbose(parser)
    parser = add_command(
        steps, "inspect", inspect, "what a bundle holds", "Signatures, operations, the largest constants, the files."
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_verbose(parser)
