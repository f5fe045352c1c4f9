from __future__ import annotations

import pytest

from models.errors import ConfigError
from pipeline.config import ProjectConfig
from pipeline.runs.step_range import check_range, is_in_range

CONFIG = ProjectConfig.model_validate({"data": {"path": "t.csv"}})


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("Trianer", None, "did you mean Trainer"),
        (None, "trainer", "did you mean Trainer"),
        ("Evaluator", "Trainer", "swap them"),
    ],
)
def test_a_wrong_range_is_refused(first: str | None, last: str | None, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check_range(CONFIG, first, last)
    assert words in raised.value.render()


def test_a_range_has_its_ends_and_what_is_between() -> None:
    check_range(CONFIG, "Trainer", "Trainer")
    assert is_in_range("Trainer", None, None)
    assert is_in_range("Trainer", "Trainer", "Trainer")
    assert not is_in_range("Trainer", None, "Transform")
    assert not is_in_range("Trainer", "Evaluator", None)
