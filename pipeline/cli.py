"""The command line. Everything heavy is imported by the command that needs it: `--help` loads no TensorFlow."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from models.errors import TransomError
from pipeline import deploy_arguments, edge_arguments
from pipeline.arguments import add_command, add_texts, add_verbose
from pipeline.kubeflow import arguments as kubeflow_arguments

INTERRUPTED = 130  # what a shell reports of a process that SIGINT ended

EPILOG = """\
a first run:
  transom init reviews.csv              writes transom.yaml, with what it found in the table
  transom run transom.yaml              trains, measures and pushes
  transom predict transom-out "so good" asks the pushed model
  transom serve transom-out             serves it over gRPC and REST
  transom edge export transom-out edge  makes a bundle for phones of it
  transom compile transom.yaml          writes the same pipeline for Kubeflow

exit codes:
  0 success            1 unexpected error    2 configuration       3 data            4 data gate
  5 preset             6 training            7 model               8 not blessed     9 push
  10 another run holds the project           130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parse(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What is printed comes from the user's data; a terminal of another encoding must not end the command.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return int(options.command(options))
    except TransomError as error:
        if getattr(options, "verbose", False):
            traceback.print_exc()
        print(f"transom: {error.render()}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("transom: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:  # noqa: BLE001 (the last resort: our mistake, but still one screen)
        if getattr(options, "verbose", False):
            traceback.print_exc()
        print(f"transom: {_unexpected(error).render()}", file=sys.stderr)
        return TransomError.exit_code


def _unexpected(error: Exception) -> TransomError:
    if isinstance(error, OSError) and error.filename is not None:
        return TransomError(
            f"{error.filename}",
            got=error.strerror or str(error),
            fix="correct the path or its permissions, or make room",
        )
    return TransomError(
        f"unexpected {type(error).__name__}",
        got=str(error).strip()[:500],
        fix="this looks like our mistake: please report it, with what `--verbose` prints",
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; argparse by itself takes no TEXT behind an option of `predict`."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and (options.command is not _predict or any(text.startswith("-") for text in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.texts += rest
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="transom",
        description="Labelled text in, a gated, served and edge-ready Transformer out.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    init = add_command(
        commands,
        "init",
        _init,
        "look at a table and write a commented transom.yaml",
        "Reads the first rows of a table (CSV, TSV, JSON Lines, Parquet) and infers the text and label columns, the "
        "kind of task and the splits. Asks nothing, overwrites nothing.",
    )
    init.add_argument("table", type=Path, metavar="FILE", help="the labelled text")
    init.add_argument("--out", type=Path, metavar="YAML", help="the file to write (default: transom.yaml beside FILE)")
    add_verbose(init)

    run = add_command(
        commands,
        "run",
        _run,
        "run the pipeline",
        "Runs the pipeline that a transom.yaml describes, a line per step. Steps whose data, settings and code are "
        "unchanged are taken from the last run. Exit code 8: the model was measured and is not good enough to push.",
    )
    _config_argument(run)
    _set_argument(run)
    run.add_argument(
        "--from", dest="from_step", metavar="STEP", help="start here; what earlier steps wrote last is used"
    )
    run.add_argument("--to", dest="to_step", metavar="STEP", help="stop after this step")
    run.add_argument("--json", action="store_true", help="one JSON object a line: steps, progress, result")
    run.add_argument("--wait", action="store_true", help="wait while another run holds the project")
    add_verbose(run)

    predict = add_command(
        commands,
        "predict",
        _predict,
        "ask a pushed or served model",
        "Prints label and score of each text, tab-separated. MODEL is a run's output folder, a push folder, one "
        "version's folder, an edge bundle, or the URL of a server: grpc://HOST:8500/NAME, http://HOST:8501/NAME, or "
        "grpcs and https. Texts come as arguments, from --file (one a line), or from standard input.",
    )
    predict.add_argument("model", metavar="MODEL", help="output, push or version folder, bundle, or URL")
    add_texts(predict)
    predict.add_argument("--model", dest="served", metavar="NAME", help="the served model, if the URL does not end so")
    add_verbose(predict)

    serve = add_command(
        commands,
        "serve",
        _serve,
        "serve a pushed model over gRPC and REST",
        "Serves with TF Serving's protocol until it is interrupted: gRPC on port 8500, REST on 8501. PUSH_DIR is a "
        "run's output folder, a push folder (new versions are served as they come) or one version's folder. FLAGS "
        "are those of tensorflow_model_server; `transom serve PUSH_DIR --help` lists them.",
    )
    serve.add_argument("directory", type=Path, metavar="PUSH_DIR", help="output folder, push folder or version folder")
    serve.add_argument("flags", nargs=argparse.REMAINDER, metavar="FLAGS", help="such as --workers=2")

    runs = add_command(
        commands, "runs", _runs, "list earlier runs", "When, how it went, the metrics, where the model is."
    )
    _config_argument(runs)
    _set_argument(runs)
    runs.add_argument("--json", action="store_true", help="one JSON object a line, whole records")
    add_verbose(runs)

    deploy_arguments.add(commands, render=_deploy_render, move=_deploy_move)
    edge_arguments.add(commands, export=_edge_export, run=_edge_run, bench=_edge_bench, inspect=_edge_inspect)
    kubeflow_arguments.add(commands, compile_=_compile, submit=_submit)

    schema = add_command(
        commands,
        "schema",
        _schema,
        "print the JSON Schema of transom.yaml",
        "For editors: put `# yaml-language-server: $schema=transom.schema.json` at the top of transom.yaml.",
    )
    schema.add_argument("--markdown", action="store_true", help="a reference of every key instead")

    board = add_command(
        commands, "tensorboard", _tensorboard, "open the training curves", "Starts TensorBoard on the project's runs."
    )
    _config_argument(board)
    _set_argument(board)
    board.add_argument("--port", type=int, default=6006, help="port on localhost (default: %(default)s)")
    add_verbose(board)
    return parser


def _config_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="YAML", help="the project's configuration")


def _set_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, such as train.epochs=3"
    )


def _init(options: argparse.Namespace) -> int:
    from pipeline.init import write

    written = write(options.table, options.out)
    print(f"wrote {written}: read it, then `transom run {written}`")
    return 0


def _run(options: argparse.Namespace) -> int:
    from pipeline.run import run

    return run(
        options.config,
        options.set,
        from_step=options.from_step,
        to_step=options.to_step,
        as_json=options.json,
        wait=options.wait,
        verbose=options.verbose,
    )


def _predict(options: argparse.Namespace) -> int:
    from pipeline.predict import predict

    return predict(
        options.model,
        options.texts,
        options.pair,
        options.file,
        served=options.served,
        as_json=options.json,
        verbose=options.verbose,
    )


def _serve(options: argparse.Namespace) -> int:
    from pipeline.serve import serve

    return serve(options.directory, options.flags)


def _runs(options: argparse.Namespace) -> int:
    from pipeline.loading import load
    from pipeline.paths import Paths
    from pipeline.tables import print_runs

    config = load(options.config, options.set)
    print_runs(Paths.of(config, options.config), sys.stdout, as_json=options.json)
    return 0


def _deploy_render(options: argparse.Namespace) -> int:
    from pipeline.deploy import render

    return render(options)


def _deploy_move(options: argparse.Namespace) -> int:
    from pipeline.deploy import move

    return move(options)


def _edge_export(options: argparse.Namespace) -> int:
    from pipeline.edge import export

    return export(options)


def _edge_run(options: argparse.Namespace) -> int:
    from pipeline.edge import run

    return run(options)


def _edge_bench(options: argparse.Namespace) -> int:
    from pipeline.edge import bench

    return bench(options)


def _edge_inspect(options: argparse.Namespace) -> int:
    from pipeline.edge import inspect

    return inspect(options)


def _compile(options: argparse.Namespace) -> int:
    from pipeline.kubeflow.compile import run

    return run(options)


def _submit(options: argparse.Namespace) -> int:
    from pipeline.kubeflow.submit import run

    return run(options)


def _schema(options: argparse.Namespace) -> int:
    from pipeline.schema import json_schema, markdown

    print(markdown() if options.markdown else json_schema())
    return 0


def _tensorboard(options: argparse.Namespace) -> int:
    from pipeline.loading import load
    from pipeline.paths import Paths

    paths = Paths.of(load(options.config, options.set), options.config)
    logs = paths.artifacts / "Trainer" / "model_run"
    if not logs.is_dir():
        raise TransomError(
            f"training curves in {logs}", got="no such folder", expected="a finished run", fix="`transom run` makes one"
        )
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", str(options.port)]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(main())
