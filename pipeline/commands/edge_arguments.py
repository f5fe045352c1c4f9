"""The arguments of `transom edge`; standard library alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.arguments import Run, add_command, add_file, add_group, add_texts, add_verbose
from tflite.convert.variants import VARIANTS

if TYPE_CHECKING:
    from pipeline.commands.arguments import Commands


_BUNDLE = "a bundle, a folder of versions, or a run's output folder"


def add(commands: Commands, *, export: Run, run: Run, bench: Run, inspect: Run) -> None:
    """Adds `transom edge` and its commands.

    Args:
        export, run, bench, inspect: the functions of the commands.
    """
    steps = add_group(commands, "edge", "write, ask and look at bundles for phones and small devices")
    _add_export(steps, export)
    _add_run(steps, run)
    _add_bench(steps, bench)
    _add_inspect(steps, inspect)


def _add_export(steps: Commands, function: Run) -> None:
    parser = add_command(
        steps,
        "export",
        function,
        "write a bundle",
        "Converts a pushed model to a .tflite file with MediaPipe's metadata, and writes it with tokenizer, labels, "
        "golden texts and a README into BUNDLE, a new folder. `transom run` does that for several variants, measures "
        "them and pushes the smallest that passes (`edge:` in transom.yaml); here, --file compares the answers.",
        """
        transom edge export reviews-out bundle                             int8, of the newest pushed version
        transom edge export reviews-out small --variant weight_int4 --file texts.txt
        """,
    )
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="output folder, push folder or version folder")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder to write")
    parser.add_argument(
        "--variant",
        choices=VARIANTS,
        default="dynamic_int8",
        help="what is made of the weights: docs/edge.md (default: %(default)s)",
    )
    parser.add_argument(
        "--length",
        type=int,
        action="append",
        default=[],
        metavar="TOKENS",
        help="a signature for so many tokens; several times for several (default: the model's longest input)",
    )
    add_file(parser, "real texts, a table or one a line: Keras is asked them too; they calibrate int8")
    add_verbose(parser)


def _add_run(steps: Commands, function: Run) -> None:
    parser = add_command(
        steps,
        "run",
        function,
        "ask a bundle",
        "Prints label and score of each text, as `transom predict` does, without TensorFlow.",
        """
        transom edge run reviews-out "so good"         the bundle that the last run pushed
        transom edge run bundle --file texts.txt
        """,
    )
    parser.add_argument("model", type=Path, metavar="BUNDLE", help=_BUNDLE)
    add_texts(parser)
    add_verbose(parser)


def _add_bench(steps: Commands, function: Run) -> None:
    parser = add_command(
        steps,
        "bench",
        function,
        "measure bundles on this machine",
        "Size, loading, memory and time of a row, each bundle in a process of its own that has LiteRT and NumPy alone; "
        "the last column compares with the first bundle. Times are of this machine, and of what else it does.",
        """
        transom edge bench reviews-out bundle          the pushed bundle against another
        """,
    )
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help=_BUNDLE)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=100, help="rows of each signature (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object a bundle")
    add_verbose(parser)


def _add_inspect(steps: Commands, function: Run) -> None:
    parser = add_command(
        steps,
        "inspect",
        function,
        "what a bundle holds",
        "Signatures, operations, the largest constants, the files.",
        """
        transom edge inspect reviews-out
        """,
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help=_BUNDLE)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_verbose(parser)
