"""Who may change which models are served, and from which folders (HandleReloadConfigRequest).

A SavedModel is a program that can read everything its server can, so a stranger who may name a folder might as well
have a shell. Only reloads over gRPC are checked, not the operator's own --model_config_file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from serving.errors import Code, StatusError, invalid_argument
from serving.server.front.listening import is_local
from serving.server.models.version_sources import is_version
from serving.server.options import ServerOptions

_MAX_MODELS, _MAX_LABELS_AND_VERSIONS = 1024, 4096
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 1024, 4096  # the operating system accepts no longer path


async def check_reload(options: ServerOptions, peer: str, request: Any) -> None:
    """Checks that a caller may send a `ReloadConfigRequest`; `peer`: see `is_local`.

    Raises:
        StatusError: PERMISSION_DENIED, the caller may not, or a model is outside --reload_roots;
            INVALID_ARGUMENT, the configuration is too large.
    """
    if options.reload_from == "nowhere":
        raise _denied("This server accepts no reloads over gRPC (--reload_from=nowhere)")
    if options.reload_from == "loopback" and not is_local(peer):
        raise _denied(
            "Reloads are accepted only over the loopback address (127.0.0.1, ::1) and the UNIX socket, not from "
            f"{peer or 'an unknown address'} (--reload_from=loopback)"
        )
    _check_size(request.config.model_config_list.config)
    if options.reload_roots:
        # In a thread, since folders may be on a network.
        await asyncio.get_running_loop().run_in_executor(None, _check_roots, options.reload_roots, request.config)


def _check_size(models: Sequence[Any]) -> None:
    """Raises INVALID_ARGUMENT for a large configuration: every model, with all its labels and versions, is polled every
    second."""
    _check_count("models", len(models), _MAX_MODELS)
    numbered = sum(len(one.version_labels) + len(one.model_version_policy.specific.versions) for one in models)
    _check_count("labels and specific versions", numbered, _MAX_LABELS_AND_VERSIONS)
    _check_count("bytes in a name", max((len(one.name.encode()) for one in models), default=0), _MAX_NAME_BYTES)
    _check_count(
        "bytes in a base_path", max((len(one.base_path.encode()) for one in models), default=0), _MAX_PATH_BYTES
    )


def _check_count(what: str, count: int, limit: int) -> None:
    if count > limit:
        words = f"The configuration has {count} {what}; expected at most {limit}. --model_config_file may have more"
        raise invalid_argument(words)


def _check_roots(roots: tuple[Path, ...], config: Any) -> None:
    """Raises PERMISSION_DENIED if a model or one of its versions, links followed, is under none of the roots."""
    real = [Path(os.path.realpath(root)) for root in roots]
    for model in config.model_config_list.config:
        for what, path in _paths(model.base_path):
            if not any(path.is_relative_to(root) for root in real):
                raise _denied(
                    f"{what} of model {model.name} is not under {' or '.join(map(str, roots))} (--reload_roots)"
                )


def _paths(base_path: str) -> Iterator[tuple[str, Path]]:
    """The folder of a model, and its versions that are links: a name for the message, and the resolved path."""
    named = f"The base_path {base_path}"
    if not base_path.startswith("/") or "\0" in base_path:
        yield named, Path()  # a relative path, which is under no root
        return
    base = os.path.realpath(base_path)
    yield named, Path(base)
    try:
        with os.scandir(base) as entries:
            links = [entry.path for entry in entries if is_version(entry.name) and entry.is_symlink()]
    except OSError:  # loading it reports the error
        return
    for link in links:
        yield f"Version {os.path.basename(link)}, a link in {base_path},", Path(os.path.realpath(link))


def _denied(message: str) -> StatusError:
    return StatusError(Code.PERMISSION_DENIED, message)
