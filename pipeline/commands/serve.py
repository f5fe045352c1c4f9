"""`transom serve`: what a run pushed, behind TF Serving's protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from models.errors import ModelError
from models.saved.model_locations import is_version, newest_version
from serving.server.main import main
from serving.server.options import ServerOptions

REST_PORT = 8501
HOST = "127.0.0.1"
Adapt = Callable[[ServerOptions], ServerOptions]

_OURS = ("--model_base_path", "--model_config_file")


def serve(directory: Path, flags: Sequence[str]) -> int:
    """Serves the model in `directory` until SIGTERM or SIGINT; returns the exit code.

    Args:
        directory: a run's output folder, a folder of versions (new ones are served as they come), or one version.
        flags: those of `python -m serving.server`. The model's name is that of its folder and REST is on port 8501,
            unless they say otherwise. So is that only this machine can ask (--host), and that a reload is taken from
            it alone (--reload_from) and names folders of that model alone (--reload_roots).

    Raises:
        ModelError: there is no model, or the flags name another.
    """
    return main(*command_line(directory, flags))


def command_line(directory: Path, flags: Sequence[str]) -> tuple[list[str], Adapt]:
    """All flags of the server, and what then changes its options; see `serve`, which raises the same."""
    for flag in flags:
        if flag.partition("=")[0] in _OURS:
            raise ModelError(
                "the flags of `transom serve`",
                got=flag,
                expected=f"none that names models: what is served is in {directory}",
                fix="leave it out, or use `python -m serving.server`",
            )
    version = newest_version(directory.resolve())
    if not version.name.isdecimal():
        raise ModelError(
            f"the model in {version}",
            got=f"a folder named {version.name}",
            expected="a number, which TF Serving takes for the version",
            fix=f"move it to {version.name}/1 and serve {version.name}",
        )
    base = version.parent
    ours = [f"--model_name={base.name}", f"--model_base_path={base}", f"--rest_api_port={REST_PORT}"]
    ours += [f"--host={HOST}", "--reload_from=loopback"]

    def within_the_folder(options: ServerOptions) -> ServerOptions:
        return options if options.reload_roots else dataclasses.replace(options, reload_roots=(base,))

    def only_that_version(options: ServerOptions) -> ServerOptions:
        models = type(options.models)()
        models.CopyFrom(options.models)
        models.model_config_list.config[0].model_version_policy.specific.versions.append(int(version.name))
        return dataclasses.replace(within_the_folder(options), models=models)

    return [*ours, *flags], only_that_version if is_version(directory) else within_the_folder
