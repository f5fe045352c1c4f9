"""A program on a terminal of its own, whose debugger is told what to do.

python debugger_session.py ERROR [WHERE]    raises an error as a debug run does: "ours" or another's; in "training"
"""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_PROMPT = b"(Pdb) "
_SECONDS = 120.0  # a session takes one, or ten where it loads TensorFlow


def session(command: Sequence[str], keys: Sequence[bytes], environment: dict[str, str]) -> tuple[int, str]:
    """Runs a command on a terminal, and types the next keys at each prompt of pdb; its exit code, and its output."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], list(command), environment)
    shown, prompts, waiting, until = b"", 0, list(keys), time.monotonic() + _SECONDS
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                read = os.read(terminal, 65536)
            except OSError:  # the program has ended
                break
            if not read:
                break
            shown += read
        if waiting and shown.count(_PROMPT) > prompts:
            prompts = shown.count(_PROMPT)
            os.write(terminal, waiting.pop(0))
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode(errors="replace")


def main(kind: str, where: str) -> int:
    """Raises an error, and hands it to the end of a debug run."""
    from models.errors import TrainingError
    from pipeline.inspection.post_mortem import end_debugging

    def fail() -> None:
        found = 6 * 7
        if kind == "ours":
            raise TrainingError("step 3 is not finite", got=f"{found} NaN")
        raise ZeroDivisionError(f"layer {found}")

    try:
        try:
            fail()
        except ZeroDivisionError as error:  # as a run wraps it
            from models.errors import TransomError

            raise TransomError("Trainer: ZeroDivisionError", got=str(error)) from error
    except Exception as error:  # noqa: BLE001
        return end_debugging(error, in_training=where == "training", as_json=False, verbose=False)
    return 0


if __name__ == "__main__":
    import argparse

    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from pipeline.cli import run_command

    sys.exit(run_command(lambda: main(*sys.argv[1:]), argparse.Namespace(verbose=False)))
