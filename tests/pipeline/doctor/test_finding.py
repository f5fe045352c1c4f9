from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from models.errors import ConfigError, TransomError
from pipeline.doctor.finding import Check, Finding, as_size, findings_of, from_error
from serving.errors import PublishError


@pytest.mark.parametrize("status", ["warn", "error"])
def test_what_is_wrong_has_a_remedy(status: str) -> None:
    with pytest.raises(AssertionError, match="no remedy"):
        Finding("disk", status, "full")  # type: ignore[arg-type]
    assert Finding("disk", "note", "full").remedy == ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RecursionError("too deep"), "RecursionError: too deep"),
        (PermissionError(13, "Permission denied", "/x"), "Permission denied"),
        (ModuleNotFoundError("No module named 'x'"), "No module named 'x'"),
        (SystemExit(3), "SystemExit"),
    ],
)
def test_a_check_that_fails_is_a_finding(error: BaseException, expected: str) -> None:
    def examine() -> Iterator[Finding]:
        yield Finding("disk", "ok", "first")
        raise error

    first, second = findings_of(Check("disk", examine))
    assert first.text == "first"
    assert (second.check, second.status) == ("disk", "warn")
    assert expected in second.text
    assert second.remedy


def test_an_interruption_is_not_a_finding() -> None:
    def examine() -> Iterator[Finding]:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        list(findings_of(Check("disk", examine)))


def test_errors_become_text_and_remedy() -> None:
    found = from_error("data", ConfigError("data.path", got="x.csv", expected="a file", fix="correct it"))
    assert found == Finding("data", "error", "data.path: x.csv; expected a file", "correct it")
    assert from_error("data", TransomError("data.path", expected="a file")).remedy == "give a file"
    assert from_error("push", PublishError("folder", got="a file"), "note").text == "folder: a file"
    assert from_error("data", ValueError("x" * 10_000)).text == "x" * 2000


def test_sizes_are_for_people() -> None:
    assert (as_size(0), as_size(17_200_000), as_size(2_340_000_000)) == ("0 MB", "17 MB", "2.3 GB")


def test_findings_need_no_package() -> None:
    assert "pydantic" not in vars(sys.modules["pipeline.doctor.finding"])
