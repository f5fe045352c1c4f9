from __future__ import annotations

import errno
import pickle

import pytest

from models import errors
from models.errors import DataError, GateError, TransomError, temporary_cause


def _kinds(kind: type[TransomError]) -> list[type[TransomError]]:
    return [kind, *(below for direct in kind.__subclasses__() for below in _kinds(direct))]


def test_exit_codes_differ_and_leave_success_and_usage_alone() -> None:
    tree = [kind for kind in _kinds(TransomError) if kind.__module__ in (errors.__name__, TransomError.__module__)]
    codes = [kind.exit_code for kind in tree]
    assert len(set(codes)) == len(codes)
    assert 0 not in codes


@pytest.mark.parametrize("kind", _kinds(TransomError))
def test_the_modules_docstring_names_every_error_with_its_code(kind: type[TransomError]) -> None:
    assert f"{kind.__name__}" in str(errors.__doc__)
    assert f"exit code {kind.exit_code}" in str(errors.__doc__)


def test_an_error_survives_pickling_with_its_parts() -> None:
    error = GateError("what", got="this", expected="that", fix="do")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is GateError
    assert (copy.what, copy.got, copy.expected, copy.fix) == ("what", "this", "that", "do")
    assert str(copy) == "what\n  got: this\n  expected: that\n  to fix: do"


def test_what_may_be_gone_when_it_is_tried_again() -> None:
    for error, cause in (
        (DataError("t.csv cannot be read"), OSError(errno.ESTALE, "Stale file handle")),
        (DataError("t.csv cannot be read"), OSError(errno.ENOENT, "No such file")),
    ):
        error.__cause__ = cause
        assert temporary_cause(error) is (cause if cause.errno == errno.ESTALE else None)
    assert temporary_cause(ValueError("nothing")) is None
