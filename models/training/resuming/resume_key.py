"""What decides a training's result, as named JSON values; its digest; and a description of differences."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import keras

from models.config import ModelConfig, PresetConfig
from models.presets.preset import describe_preset
from models.training.frameworks.contract import framework_version, onednn_state
from tflite.host.json_text import to_json

if TYPE_CHECKING:
    from models.training.loop import Loop

# In the order of mention. The last two follow from the others and are named only if no other one differs.
_WORDS = {
    "code": "Transom's code or its libraries",
    "versions": "Keras, its framework or oneDNN",
    "architecture": "the preset's architecture",
    "labels": "the labels",
    "tokenizer": "the tokenizer's vocabulary",
    "rows": "the rows of train or eval",
    "weights": "the initial weights (the preset's files)",
    "batches": "the shapes of the batches, or the devices or cores",
}
_SETTINGS = ("task", "train", "model")
# Their defaults follow from the number of rows.
_BY_ROWS = ("train.epochs", "train.early_stopping")
_MOST_NAMED = 4


def model_key(config: ModelConfig) -> dict[str, Any]:
    """What decides the model, besides its initial weights. The location of a preset's files does not.

    Raises:
        PresetError: the preset cannot be used.
    """
    settings = config.model_dump(mode="json", exclude={"preset"})
    if not isinstance(config, PresetConfig):
        return {"model": settings}
    info = describe_preset(config.preset)
    return {"model": settings, "architecture": digest({"config": dict(info.config), "pooling": info.pooling})}


def training_key(loop: Loop, given: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the result of a loop that has not begun, by name; `given` is what its caller adds."""
    return {
        "task": loop.task.model_dump(mode="json"),
        "train": loop.config.model_dump(mode="json", exclude={"checkpoint_steps"}),
        "labels": digest(asdict(loop.labels)),
        "rows": [loop.batches.rows.checksum, loop.evaluation.rows.checksum],
        "batches": [
            [asdict(shape) for shape in loop.batches.shapes],
            loop.batches.pad_id,
            loop.devices.strategy_name,
            loop.devices.replicas,
            loop.devices.shards,
            loop.devices.shares,
        ],
        "versions": versions(),
        **given,
    }


def weights_key(model: keras.Model) -> dict[str, Any]:
    """The digest of a model's weights, as an item of a key. Call it before the linear part is fitted (in whatever time
    that takes) and weights are halved (if there is room)."""
    weights = [[v.path, bool(v.trainable), zlib.crc32(v.numpy().tobytes())] for v in model.weights]
    return {"weights": digest({"weights": weights})}


def versions() -> list[str | None]:
    """Of Keras and its framework, and how that uses oneDNN."""
    return [framework_version(), keras.__version__, onednn_state()]


def digest(identity: Mapping[str, Any]) -> str:
    """Hexadecimal SHA-256 of the values."""
    text = to_json(identity, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Where two keys differ, in words for the user: settings by name with both values, the rest by name.

    Consequences of a named difference are left out: other rows make other batches, and perhaps more epochs.
    """
    changed = [name for name in sorted({*then, *now} - set(_SETTINGS)) if then.get(name) != now.get(name)]
    found = [
        f"{section}.{key} was {_brief(before.get(key))}, is {_brief(after.get(key))}"
        for section in _SETTINGS
        for before, after in [(_mapping(then.get(section)), _mapping(now.get(section)))]
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key) and not ("rows" in changed and f"{section}.{key}" in _BY_ROWS)
    ]
    *causing, first, last = _WORDS
    causes = [_WORDS[name] for name in causing if name in changed]
    others = [name for name in changed if name not in _WORDS]
    if not (found or causes or others):
        causes = [_WORDS[name] for name in (first, last) if name in changed][:1]
    return found + causes + others


def describe_differences(found: list[str]) -> str:
    """The first few differences as one phrase."""
    more = len(found) - _MOST_NAMED
    return "; ".join(found[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _brief(value: Any) -> str:
    text = "unset" if value is None else to_json(value)
    return text if len(text) <= 40 else text[:39] + "…"
