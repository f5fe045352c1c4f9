"""Every key of the configuration has its documented effect: each is changed, and the difference is checked."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from setting_effects import EFFECTS, every_key

from pipeline.configuration.reference import markdown
from pipeline.steps import STEPS

for group in ("beam", "data", "models", "training", "device", "edge", "gates", "card", "kubeflow"):
    importlib.import_module(f"{group}_settings")


def test_every_key_has_an_entry() -> None:
    """A new key needs an entry in its group's module `…_settings`: two values, and the difference they make."""
    assert sorted(EFFECTS) == sorted(every_key())


# Each trains a model or two; so does `train.epochs`.
_TRAINED = ("accumulate", "checkpoint_steps", "contrastive", "early_stopping", "metric", "precision")
_SLOW = {f"train.{name}" for name in _TRAINED}
_PATHS = [pytest.param(path, marks=[pytest.mark.slow] if path in _SLOW else []) for path in sorted(every_key())]


@pytest.mark.parametrize("path", _PATHS)
def test_a_key_does_what_it_says(path: str, tmp_path: Path) -> None:
    effect = EFFECTS[path]
    first, second = effect.settings(tmp_path)
    effect.observe(first, second)
    if effect.steps is not None:
        before, after = first.steps, second.steps
        assert {step for step in STEPS if before.get(step) != after.get(step)} == effect.steps


def test_every_key_is_in_the_reference() -> None:
    """A new group must be added to the reference's list of groups."""
    text = markdown()
    names = {re.split(r"[.\]]", path)[-1] for path in every_key()}
    assert {name for name in names if f"| `{name}` |" not in text} == set()
