from __future__ import annotations

from typing import get_args

import pytest

from models.config import PresetConfig
from models.training_config import TrainConfig
from pipeline.configuration.other_names import KEYS, VALUES
from pipeline.configuration.setting_keys import annotations_at


@pytest.mark.parametrize("ours", sorted(set(KEYS.values())))
def test_what_a_message_proposes_is_a_key(ours: str) -> None:
    key, _, value = ours.partition(",")[0].partition(": ")
    section, _, name = key.partition(".")
    assert annotations_at(key.split(".")) or (section == "model" and name in PresetConfig.model_fields)
    if value:
        assert value in get_args(TrainConfig.model_fields[name].annotation)


def test_no_key_of_transoms_is_taken_for_another_tools() -> None:
    assert not set(KEYS) & set(TrainConfig.model_fields)


def test_what_a_message_proposes_is_a_value() -> None:
    known = {
        value
        for name in ("backend", "precision", "strategy")
        for value in get_args(TrainConfig.model_fields[name].annotation)
    }
    assert set(VALUES.values()) <= known
