from __future__ import annotations

import errno
import io
import re

import pytest

from models.errors import Interrupted, TrainingError
from models.training.elsewhere.messages import Messages, receive


def _receive(text: str) -> tuple[object, list[str]]:
    notes: list[str] = []
    return receive(io.StringIO(text), lambda progress: None, notes.append), notes


def test_what_is_no_message_is_passed_over() -> None:
    written = io.StringIO()
    messages = Messages(written)
    messages.note("first")
    messages.finished({"checkpoint": 1})
    greeting = 'Welcome to this Python\n1\n["x"]\nnull\n{"other": 2}\n'
    assert _receive(greeting + written.getvalue()) == ({"checkpoint": 1}, ["first"])


@pytest.mark.parametrize("end", ["", '{"finished": {"chec', "\n"])
def test_without_a_last_message_there_is_no_result(end: str) -> None:
    assert _receive('{"note": "one"}\n' + end) == (None, ["one"])


def test_errors_and_interruptions_arrive_as_they_were() -> None:
    written = io.StringIO()
    error = TrainingError("what", got="this", expected="that", fix="do so")
    Messages(written).stopped(error)
    with pytest.raises(TrainingError) as raised:
        _receive(written.getvalue())
    assert raised.value.render() == error.render()
    written = io.StringIO()
    Messages(written).stopped(OSError(errno.ENOSPC, "No space left on device", "/a/file"))
    with pytest.raises(OSError, match=re.escape("[Errno 28] No space left on device: '/a/file'")) as full:
        _receive(written.getvalue())
    assert full.value.errno == errno.ENOSPC
    written = io.StringIO()
    Messages(written).stopped(Interrupted("training", kept="much", lost="little", then="it goes on"))
    with pytest.raises(Interrupted, match="training"):
        _receive(written.getvalue())
    written = io.StringIO()
    Messages(written).stopped(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        _receive(written.getvalue())
