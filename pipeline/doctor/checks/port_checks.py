"""The ports that `transom serve` and `transom tensorboard` use by default (standard library only)."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.finding import Check, Finding

_LISTENING = "0A"  # proc(5), net/tcp


def checks() -> list[Check]:
    return [Check("ports", lambda: ports(default_ports()))]


def default_ports() -> dict[int, tuple[str, str]]:
    """The ports: what each is for, and the option that names another."""
    from pipeline.commands.running.tensorboard import PORT
    from pipeline.commands.shipping.serve import REST_PORT
    from serving.server.flag_table import GROUPS

    (grpc,) = (flag.default for flags in GROUPS.values() for flag in flags if flag.name == "port")
    return {
        grpc: ("gRPC of `transom serve`", "--port=PORT"),
        REST_PORT: ("REST of `transom serve`", "--rest_api_port=PORT"),
        PORT: ("`transom tensorboard`", "--port PORT"),
    }


def ports(wanted: dict[int, tuple[str, str]]) -> Iterator[Finding]:
    """Whether this user can listen on them; each is taken for an instant."""
    free = []
    for port, (purpose, option) in wanted.items():
        reason = _refusal(port)
        if reason is None:
            free.append(port)
        elif reason == errno.EADDRINUSE:
            text = f"{port} ({purpose}) is in use{_by_whom(port)}"
            yield Finding("ports", "note", text, f"end that program, or give {option}")
        else:
            yield Finding("ports", "warn", f"{port} ({purpose}): {os.strerror(reason)}", f"give {option}")
    if free:
        yield Finding("ports", "ok", f"{', '.join(map(str, free))} {'is' if len(free) == 1 else 'are'} free")


def _refusal(port: int) -> int | None:
    """The error number with which the system refuses the port; None if it is free."""
    try:
        with socket.socket() as listener:
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as the server does: a recent one may linger
            listener.bind(("127.0.0.1", port))
            listener.listen(1)
    except OSError as error:
        return error.errno or errno.EINVAL
    return None


def _by_whom(port: int, proc: Path = Path("/proc")) -> str:
    """The process that listens on a port, if the system tells this user."""
    wanted = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    wanted.add(f"socket:[{fields[9]}]")
    for folder in proc.glob("[0-9]*") if wanted else ():
        with contextlib.suppress(OSError):
            if any(os.readlink(link) in wanted for link in (folder / "fd").iterdir()):
                return f" by process {folder.name} ({(folder / 'comm').read_text().strip()})"
    return ""
