"""What `transom run` decides before and around the graph."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from models.errors import ConfigError
from pipeline.run import _terminable, run


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("Nope", None, "one of ExampleGen"),
        (None, "trainer", "did you mean Trainer?"),
        ("Trainr", None, "did you mean Trainer?"),
        ("Trainer", "ExampleGen", "Trainer, which comes after ExampleGen"),
    ],
)
def test_steps_that_make_no_run(tmp_path: Path, first: str | None, last: str | None, told: str) -> None:
    config = tmp_path / "transom.yaml"
    config.write_text("data: {path: none.csv}\n")
    with pytest.raises(ConfigError) as caught:
        run(config, [], from_step=first, to_step=last)
    assert told in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["transom.yaml"]


def test_a_termination_is_an_interruption() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), _terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
