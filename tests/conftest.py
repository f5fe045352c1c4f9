"""Shared by all tests: the runtime is set up before anything imports TensorFlow."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TRANSOM_COMPILE_CACHE", "off")  # the user's own is left alone
# Readline, which pytest loads, sets them for the processes that pytest-xdist starts.
os.environ.pop("COLUMNS", None)
os.environ.pop("LINES", None)

REPOSITORY = Path(__file__).resolve().parent.parent
# Shared by tests: tiny models, small servers, clients.
sys.path[:0] = [str(folder) for folder in sorted((REPOSITORY / "tests" / "support").iterdir())]

# TensorFlow's graphs are many Python objects: collecting garbage less often saves some per cent of the processor time.
gc.set_threshold(50_000, 20, 10)

# A shell that starts the tests in the background, or nohup, ignores these signals, and a run keeps that setting.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

if TYPE_CHECKING:
    from tiny_exports import Exported


# Files that take a minute and would come last.
_LONG_FILES = frozenset({"test_families.py"})


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks all but one of a function's `slow_variants`, and puts long files first: no core is idle at the end."""
    seen = set()
    for item in items:
        function, variant, _ = item.nodeid.partition("[")
        if item.get_closest_marker("slow_variants") and not variant:
            raise pytest.UsageError(f"{item.nodeid} has no variants that could be slow")
        if item.get_closest_marker("slow_variants") and function in seen:
            item.add_marker(pytest.mark.slow)
        seen.add(function)
    items.sort(key=lambda item: item.path.name not in _LONG_FILES)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Escapes lone surrogates, which some tests log: pytest-xdist sends reports between processes as UTF-8."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_encodable(one) for one in value)
    return value


@pytest.fixture(autouse=True)
def _server_logging() -> Iterator[None]:
    """Undoes what a server's `main` in this process did to its logger, or caplog would get each line twice."""
    logger = logging.getLogger("serving")
    before = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Kind of task to its tiny model, exported as a run does it. Tests that change one copy it."""
    from tiny_exports import Exports

    return Exports(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The folder of real data sets; the test is skipped where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder.name}: see benchmarks/README.md")
    return folder
