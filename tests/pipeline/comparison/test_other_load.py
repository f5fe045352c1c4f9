from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.comparison import other_load
from pipeline.comparison.other_load import busy_cores


def test_another_program_is_seen() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        found = busy_cores()
    finally:
        busy.kill()
        busy.wait()
    assert found > 0.2, "a core, or its share of one where other tests run"


def test_a_system_that_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_load, "_STATISTICS", tmp_path / "absent")
    assert busy_cores() == 0.0
