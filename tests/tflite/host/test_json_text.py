"""JSON that every reader accepts."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from tflite.host.json_text import finite, to_json


def test_non_finite_numbers_are_null_at_any_depth() -> None:
    value = {"a": math.nan, "b": [1.5, (math.inf, {"c": -math.inf})], "d": "NaN", "e": True, "f": None, "g": 3}
    assert json.loads(to_json(value), parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, [None, {"c": None}]],
        "d": "NaN",
        "e": True,
        "f": None,
        "g": 3,
    }
    assert finite(value)["b"][1] == [None, {"c": None}]
    assert math.isnan(value["a"]), "the value is unchanged"


def test_text_is_unchanged_or_becomes_ascii() -> None:
    assert to_json({"é": 1}) == '{"é": 1}'
    assert to_json({"é": "\udc80"}, ascii=True).encode("ascii") == b'{"\\u00e9": "\\udc80"}'
    assert to_json({"b": 1, "a": 2}, sort_keys=True, indent=1) == '{\n "a": 2,\n "b": 1\n}'


@pytest.mark.parametrize("line", ["json.dumps(1)", "json.dump(1, open(0))"])
def test_the_linter_refuses_other_ways_to_write_json(line: str, repository: Path) -> None:
    ruff = Path(sys.executable).parent / "ruff"
    command = [str(ruff), "check", "--stdin-filename", "components/new.py", "-"]
    done = subprocess.run(command, input=f"import json\n\n{line}\n", capture_output=True, text=True, cwd=repository)
    assert "tflite.host.json_text" in done.stdout
