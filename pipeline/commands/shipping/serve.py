"""`transom serve`: serves a pushed model over TF Serving's protocol."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelError
from pipeline.commands.arguments import Commands, add_command

if TYPE_CHECKING:
    from serving.server.options import ServerOptions

    ChangeOptions = Callable[[ServerOptions], ServerOptions]

REST_PORT = 8501
HOST = "127.0.0.1"

_MODEL_FLAGS = ("--model_base_path", "--model_config_file")


def add(commands: Commands) -> None:
    parser = add_command(
        commands,
        "serve",
        serve,
        "serve a pushed model over gRPC and REST",
        "Serves a model over TF Serving's protocol until interrupted: gRPC on port 8500, REST on 8501. PUSH_DIR is a "
        "run's output folder (NAME-out), the folder of pushed versions (new ones are served as they appear) or one "
        "version's folder. Only this machine can reach it, unless FLAGS include --host=0.0.0.0 or another address.\n"
        "FLAGS come after PUSH_DIR and are those of tensorflow_model_server; `transom serve PUSH_DIR --help` lists "
        "them. `transom -v serve PUSH_DIR` shows what TensorFlow prints.",
        """
        transom serve reviews-out
        transom serve --page reviews-out  and a page to try the model, at http://127.0.0.1:8501/
        transom serve reviews-out --workers=2 --port=9000 --rest_api_port=9001
        curl http://localhost:8501/v1/models/reviews:predict -d '{"instances": ["so good"]}'
        """,
        verbose=False,  # `transom serve DIR -v` is for the server
    )
    parser.add_argument(
        "--page", action="store_true", help="a page to try the model in a browser, at / of the REST port"
    )
    parser.add_argument("directory", type=Path, metavar="PUSH_DIR", help="output folder, push folder or version folder")
    flags = parser.add_argument("flags", nargs=argparse.REMAINDER, metavar="FLAGS", help="such as --workers=2")
    flags.required = False  # otherwise argparse's error about a missing PUSH_DIR names FLAGS too


def serve(options: argparse.Namespace) -> int:
    """Serves the model in a folder until SIGTERM or SIGINT; returns the exit code.

    Raises:
        ModelError: there is no model, or the flags name another.
    """
    from serving.server.main import main

    if options.verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
    flags = ["--page", *options.flags] if options.page else options.flags
    return main(*server_flags(options.directory, flags))


def server_flags(directory: Path, flags: Sequence[str]) -> tuple[list[str], ChangeOptions]:
    """All flags of the server, and a function that changes the options parsed from them.

    Args:
        directory: a run's output folder, a folder of versions (new ones are served as they appear), or one version.
        flags: those of `python -m serving.server`. Unless they say otherwise, the model has its folder's name, REST
            is on port 8501, only this machine can connect (--host) and reload (--reload_from), and a reload may name
            only folders of this model (--reload_roots).

    Raises:
        ModelError: there is no model, or the flags name another.
    """
    from models.saved.model_locations import is_version, newest_version

    for flag in flags:
        if flag.partition("=")[0] in _MODEL_FLAGS:
            raise ModelError(
                "the flags of `transom serve`",
                got=flag,
                expected=f"none that names models: the model served is the one in {directory}",
                fix="leave it out, or use `python -m serving.server`",
            )
    version = newest_version(directory.resolve())
    if not version.name.isdecimal():
        raise ModelError(
            f"the model in {version}",
            got=f"a folder named {version.name}",
            expected="a number, which TF Serving takes as the version",
            fix=f"move it to {version.name}/1 and serve {version.name}",
        )
    base = version.parent
    defaults = [f"--model_name={base.name}", f"--model_base_path={base}", f"--rest_api_port={REST_PORT}"]
    defaults += [f"--host={HOST}", "--reload_from=loopback"]

    def restrict_reloads(options: ServerOptions) -> ServerOptions:
        return options if options.reload_roots else dataclasses.replace(options, reload_roots=(base,))

    def pin_version(options: ServerOptions) -> ServerOptions:
        models = type(options.models)()
        models.CopyFrom(options.models)
        models.model_config_list.config[0].model_version_policy.specific.versions.append(int(version.name))
        return dataclasses.replace(restrict_reloads(options), models=models)

    return [*defaults, *flags], pin_version if is_version(directory) else restrict_reloads
