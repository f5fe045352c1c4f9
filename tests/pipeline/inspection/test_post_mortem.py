"""An exception opens pdb on a real terminal, and is printed in full elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import debugger_session
import pytest

# Ctrl-C between the prompt and the reading of a key is only noticed with the next key.
_INTERRUPT = b"\x03\n"
COMMAND = [sys.executable, debugger_session.__file__]


@pytest.mark.parametrize(
    ("kind", "keys", "code"),
    [
        ("other", [b"p found * 2\n", _INTERRUPT, b"q\n"], 1),
        ("other", [b"p found * 2\n", b"\x04"], 1),
        ("ours", [b"p found * 2\n", b"q\n"], 6),
    ],
    ids=["another's, Ctrl-C", "another's, Ctrl-D", "ours"],
)
def test_pdb_opens_at_the_frame_that_raised(kind: str, keys: list[bytes], code: int) -> None:
    ended, shown = debugger_session.session([*COMMAND, kind, "training"], keys, dict(os.environ))
    assert ended == code, shown
    assert "84" in shown
    assert "`q` leaves it" in shown
    assert ("layer 42" in shown) == (kind == "other")
    assert ("42 NaN" in shown) == (kind == "ours")
    assert ("--KeyboardInterrupt--" in shown) == (_INTERRUPT in keys)


def test_our_own_error_before_the_training_is_only_printed() -> None:
    ended, shown = debugger_session.session([*COMMAND, "ours", "before"], [], dict(os.environ))
    assert ended == 6
    assert "transom: step 3 is not finite" in shown
    assert "Pdb" not in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(("kind", "code"), [("other", 1), ("ours", 6)])
def test_off_a_terminal_the_traceback_is_printed(kind: str, code: int) -> None:
    done = subprocess.run(
        [*COMMAND, kind, "training"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert "Pdb" not in done.stdout + done.stderr
    assert ("ZeroDivisionError: layer 42" in done.stderr) == (kind == "other")
    assert ('raise ZeroDivisionError(f"layer {found}")' in done.stderr) == (kind == "other")
    assert done.stderr.splitlines()[-1].strip() in ("got: layer 42", "got: 42 NaN")
