"""The command line. Each command imports what it needs when it is called: `--help` loads no TensorFlow."""

from __future__ import annotations

import argparse
import errno
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence

from models.errors import Interrupted, TransomError
from pipeline import version
from pipeline.commands.arguments import Commands, Parser, add_heading, add_verbose
from pipeline.commands.cluster import compile, submit
from pipeline.commands.running import compare, errors, profile, report, reproduce, run, runs, tensorboard
from pipeline.commands.setup import backends, completion, doctor, init, presets, schema
from pipeline.commands.shipping import deploy, edge, lineage, predict, serve
from pipeline.runs.interruption import INTERRUPTED
from pipeline.terminal import streams

WRONG_ARGUMENTS = 2

EPILOG = """\
a first run, with the transom.yaml of the current folder:
  transom init reviews.csv               inspects the table, writes transom.yaml
  transom run                            trains, measures and pushes a model
  transom report                         opens the page of the run
  transom predict reviews-out "so good"  queries the pushed model

`transom COMMAND --help` explains a command, with examples.

exit codes: 0 success, 1 anything else, 2 configuration, 3 data, 4 data gate, 5 preset, 6 training, 7 model, \
8 not blessed, 9 push, 10 another run holds the project, 11 other weights (reproduce), 130 interrupted
"""

GROUPS: Mapping[str, Sequence[Callable[[Commands], None]]] = {
    "set up": (init.add, doctor.add, presets.add, backends.add, schema.add, completion.add),
    "run": (run.add, profile.add, reproduce.add, runs.add_clean),
    "look at results": (runs.add, report.add, errors.add, compare.add, lineage.add, tensorboard.add),
    "ship": (predict.add, serve.add, deploy.add, edge.add),
    "on a cluster": (compile.add, submit.add),
}
"""The commands by what they are for, as `transom --help` shows them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = argparse.Namespace(verbose=False)

    def command() -> int:
        vars(options).update(vars(_parse(arguments)))
        if not options.verbose and not sys.warnoptions:
            warnings.simplefilter("ignore")  # the libraries' warnings, which users can do nothing about
        return int(options.command(options))

    return run_command(command, options)


def run_command(command: Callable[[], int], options: argparse.Namespace) -> int:
    """Runs `command`, prints its error, if any, as one screen, and returns the exit code."""
    streams.set_up()
    try:
        code = command()
        streams.flush()
        return code
    except TransomError as error:
        return _print_error(error, options)
    except KeyboardInterrupt as stopped:
        message = stopped.render() if isinstance(stopped, Interrupted) else "interrupted"
        streams.print_message(f"transom: {message}")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as `head`, has exited
        streams.drop_output()
        return 0
    except Exception as error:  # noqa: BLE001 (the last resort: a bug, but still one screen)
        return _print_error(_unexpected(error), options)


def _print_error(error: TransomError, options: argparse.Namespace) -> int:
    if options.verbose:
        streams.print_message(traceback.format_exc().rstrip(), wrap=False)
    streams.print_message(f"transom: {error.render()}")
    return error.exit_code


def _unexpected(error: Exception) -> TransomError:
    if isinstance(error, OSError) and error.filename is not None:
        return TransomError(
            f"{error.filename}",
            got=error.strerror or str(error),
            fix="correct the path or its permissions, or make room",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return TransomError(
            "the output, or another file, could not be written",
            got=error.strerror or str(error),
            expected="a device with room for it",
            fix="make room, or write to another device",
        )
    return TransomError(
        f"unexpected {type(error).__name__}",
        got=str(error).strip()[:500],
        fix="this looks like a bug in Transom: report it with the output of `--verbose` and `transom --version -v`",
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options. argparse alone does not accept a TEXT after an option of `predict`."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.version:
        options.command = version.print_version
    elif options.command is None:
        parser.print_help(sys.stderr)
        parser.exit(WRONG_ARGUMENTS)
    if rest and ("texts" not in options or any(text.startswith("-") for text in rest)):
        options.parser.refuse_unknown(rest)
    if rest:
        options.texts += rest
    return options


def _parser() -> Parser:
    parser = Parser(
        prog="transom",
        description="Labelled text in, a gated, served and edge-ready Transformer out.",
        epilog=EPILOG,
    )
    parser.set_defaults(command=None, parser=parser, whole=parser, verbose=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for title, added in GROUPS.items():
        add_heading(commands, title)
        for add in added:
            add(commands)
    version.add(parser)
    add_verbose(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
