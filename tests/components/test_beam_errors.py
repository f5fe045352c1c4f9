"""Transom's errors through Beam."""

from __future__ import annotations

import apache_beam as beam
import pytest

from components.beam_errors import decode_error, encode_error, reraise
from models.errors import DataError, GateError, TransomError

ERROR = GateError("what: é \ud800 {}", got="'got'\nsecond line", expected='"expected"', fix="\\fix")


def _fail(error: Exception) -> None:
    raise error


def parts(error: TransomError) -> tuple[object, ...]:
    return type(error), error.what, error.got, error.expected, error.fix


def test_an_error_comes_out_of_a_pipeline_whole() -> None:
    with pytest.raises(GateError) as caught, reraise(), beam.Pipeline() as pipeline:
        _ = pipeline | beam.Create([encode_error(ERROR)]) | beam.Map(_fail)
    assert parts(caught.value) == parts(ERROR)


def test_other_errors_are_unchanged() -> None:
    with pytest.raises(RuntimeError, match="not one of Transom's"), reraise():
        raise RuntimeError("not one of Transom's")
    with pytest.raises(DataError, match="unchanged"), reraise():
        raise DataError("unchanged")


def _wrap() -> None:
    try:
        raise ERROR
    except TransomError as error:
        raise ValueError("wrapped") from error


def test_transoms_error_is_found_behind_others() -> None:
    with pytest.raises(ValueError, match="wrapped") as caught:
        _wrap()
    assert decode_error(caught.value) is ERROR
    assert decode_error(ValueError("nothing")) is None
