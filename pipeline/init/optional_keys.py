"""The parts of a new transom.yaml that are defaults: the main keys in comments, and the proposed preset."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from components.config import EvaluationConfig, GateConfig, PushConfig
from components.evaluation.thresholds import LENGTH_SLICE
from models.config import EncoderConfig, TokenizerConfig
from models.training_config import TrainConfig
from pipeline.init.suggested_preset import SuggestedPreset
from pipeline.init.suggested_thresholds import suggest_thresholds, uneven_label
from pipeline.init.table_counts import TableCounts
from pipeline.init.table_words import scalar
from pipeline.init.task_inference import InferredTask
from tflite.config import EdgeConfig
from tflite.host.prediction import TaskType

# The keys that users change first, by group.
_KEYS: dict[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "tokenizer": (TokenizerConfig, ("vocabulary_size", "lowercase", "max_length")),
    "model": (EncoderConfig, ("type", "num_layers", "width", "num_heads", "dropout")),
    "train": (
        TrainConfig,
        ("epochs", "batch_size", "learning_rate", "class_weights", "early_stopping", "metric", "precision", "seed"),
    ),
    "gate": (GateConfig, ("drift", "unseen_label", "small_class", "split_overlap", "conflicting_labels")),
    "evaluation": (EvaluationConfig, ("slices", "min_slice_size")),
    "edge": (EdgeConfig, ("variants", "lengths", "min_agreement")),
    "push": (PushConfig, ("directory", "keep")),
}
# Keys about labels, which a run refuses for a regression.
_LABEL_KEYS = ("class_weights", "unseen_label", "small_class", "conflicting_labels")
# The keys of a learned vocabulary, which a run refuses for a preset.
_VOCABULARY_KEYS = ("vocabulary_size", "lowercase")
_ELSE = "`transom presets` lists others"


def optional_sections(inferred: InferredTask, counts: TableCounts, preset: SuggestedPreset) -> Iterator[str]:
    """The sections, each with a line end: comments, except for what these rows or the preset at hand decide."""
    task, pairs = inferred.task, inferred.text_pair is not None
    for name in _KEYS:
        lines = list(_keys_of(name, task, preset))
        if name == "model":
            lines = _model(lines, preset)
        if name == "train" and (label := uneven_label(task, counts)):
            why = f"accuracy hardly tells models apart: it rewards answering {label}"
            others = [line for line in lines[1:] if not line.startswith("#   metric:")]
            lines = ["train:", f"  metric: macro_f1    # {why}", *others]
        if name == "evaluation" and (suggested := list(suggest_thresholds(task, counts, pairs=pairs))):
            lines.append("#   thresholds:    # a model that is worse is not pushed")
            lines += [f"#     {line}" for line in suggested]
        yield "\n".join([*lines, ""])


def _model(from_scratch: list[str], preset: SuggestedPreset) -> list[str]:
    if preset.chosen:
        chosen = ["model:", f"  preset: {scalar(preset.preset)}    # {preset.reason}; {_ELSE}"]
        return [*chosen, "# From scratch, in place of the section above (these are the defaults):", *from_scratch]
    proposed = f"#   preset: {scalar(preset.preset)}    # {preset.reason}; {_ELSE}"
    return [*from_scratch, "# A pretrained encoder, in place of the section above:", "# model:", proposed]


def _keys_of(name: str, task: TaskType, preset: SuggestedPreset) -> Iterator[str]:
    """The main keys of a group, commented out, with their defaults and meanings."""
    model, keys = _KEYS[name]
    defaults = model.model_construct()
    yield f"# {name}:"
    for key in keys:
        value = getattr(defaults, key)
        if (task == "regression" and key in _LABEL_KEYS) or (preset.chosen and key in _VOCABULARY_KEYS):
            continue
        if task == "regression" and key == "slices":
            value = (LENGTH_SLICE,)
        meaning = " ".join((model.model_fields[key].description or "").split())
        yield f"#   {key}: {scalar(value)}    # {meaning}"
