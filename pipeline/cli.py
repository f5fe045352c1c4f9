"""The command line. Everything heavy is imported by the command that needs it: `--help` loads no TensorFlow."""

from __future__ import annotations

import argparse
import errno
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

from models.errors import Interrupted, TransomError
from pipeline.commands import deploy_arguments, edge_arguments, functions, model_arguments, project_arguments
from pipeline.commands import kubeflow_arguments as kubeflow_arguments
from pipeline.commands.arguments import Parser, add_verbose
from pipeline.runs.interruption import INTERRUPTED
from pipeline.terminal import streams

WRONG_ARGUMENTS = 2

EPILOG = """\
a first run:
  transom init reviews.csv                looks at the table, writes transom.yaml
  transom run                             trains, measures and pushes a model
  transom predict reviews-out "so good"   asks the pushed model
  transom serve reviews-out               serves it over gRPC and REST
  transom edge run reviews-out "so good"  asks its bundle for small devices
  transom runs                            lists the runs and what came of each

`transom COMMAND --help` explains a command, with examples. \
A command about a project takes its transom.yaml or its folder; without either it finds transom.yaml in the \
current folder.

exit codes:
  0 success        1 anything else  2 configuration  3 data         4 data gate
  5 preset         6 training       7 model          8 not blessed  9 push
  10 another run holds the project  130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = argparse.Namespace(verbose=False)

    def command() -> int:
        vars(options).update(vars(_parse(arguments)))
        if not options.verbose and not sys.warnoptions:
            warnings.simplefilter("ignore")  # the libraries' own, which users of ours can do nothing about
        return int(options.command(options))

    return concluded(command, options)


def concluded(command: Callable[[], int], options: argparse.Namespace) -> int:
    """Runs `command`; however it ends, that is one screen and an exit code, which this returns."""
    streams.set_up()
    try:
        code = command()
        streams.flush()
        return code
    except TransomError as error:
        return _told(error, options)
    except KeyboardInterrupt as stopped:
        told = stopped.render() if isinstance(stopped, Interrupted) else "interrupted"
        streams.say(f"transom: {told}")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        streams.drop_output()
        return 0
    except Exception as error:  # noqa: BLE001 (the last resort: our mistake, but still one screen)
        return _told(_unexpected(error), options)


def _told(error: TransomError, options: argparse.Namespace) -> int:
    """Prints an error, and with -v where it came from; returns its exit code."""
    if options.verbose:
        streams.say(traceback.format_exc().rstrip())
    streams.say(f"transom: {error.render()}")
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
            "what was to be written, such as the output",
            got=error.strerror or str(error),
            expected="a place that takes it",
            fix="make room, or send it elsewhere",
        )
    return TransomError(
        f"unexpected {type(error).__name__}",
        got=str(error).strip()[:500],
        fix="this looks like our mistake: please report it, with what `--verbose` and `transom --version -v` print",
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; argparse by itself takes no TEXT behind an option of `predict`."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.version:
        options.command = functions.version
    elif options.command is None:
        parser.print_help(sys.stderr)
        parser.exit(WRONG_ARGUMENTS)
    if rest and ("texts" not in options or any(text.startswith("-") for text in rest)):
        options.parser.refuse(rest)
    if rest:
        options.texts += rest
    return options


def _parser() -> Parser:
    parser = Parser(
        prog="transom",
        description="Labelled text in, a gated, served and edge-ready Transformer out.",
        epilog=EPILOG,
    )
    parser.set_defaults(command=None, parser=parser, verbose=False)
    parser.add_argument("--version", action="store_true", help="print the version; with -v those of the libraries too")
    add_verbose(parser)
    added = parser.add_subparsers(title="commands", metavar="COMMAND")
    project_arguments.add(
        added,
        init=functions.init,
        run=functions.run,
        runs=functions.runs,
        tensorboard=functions.tensorboard,
        schema=functions.schema,
    )
    model_arguments.add(added, predict=functions.predict, serve=functions.serve)
    deploy_arguments.add(added, render=functions.deploy_render, move=functions.deploy_move)
    edge_arguments.add(
        added,
        export=functions.edge_export,
        run=functions.edge_run,
        bench=functions.edge_bench,
        inspect=functions.edge_inspect,
    )
    kubeflow_arguments.add(added, compile_=functions.compile_, submit=functions.submit)
    return parser


if __name__ == "__main__":
    sys.exit(main())
