"""Refuses settings that are valid but contradict each other, and those that would have no effect.

Each error names its key, before TensorFlow is loaded. Settings of a feature that is turned off are allowed, so that
they are kept for later: `gate.drift: off` with a `drift_threshold`, `serving.gate: false`, an empty `edge.variants`,
and `kubeflow` in a local run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.evaluation.slices import length_slices
from components.evaluation.thresholds import LABEL_SLICE, LENGTH_SLICE
from models.config import PresetConfig
from models.training_config import TrainConfig
from pipeline.config import ProjectConfig
from pipeline.configuration.setting_keys import Problem, as_written, default_of, value_of

# The special tokens around a pair in the family with the most (RoBERTa), and one token of each text.
_LEAST_PAIR = 6
_REGRESSION_METRICS = {"mse", "spearman"}
_LABEL_METRICS = {"accuracy", "calibrated_loss", "macro_f1", "micro_f1"}


def clashes(config: ProjectConfig) -> Iterator[Problem]:
    """The keys whose values contradict other settings."""
    yield from _kind_of_task(config)
    yield from _named_labels(config)
    yield from _pairs(config)
    yield from _tokenizer(config)
    yield from _model(config)
    yield from _training(config)
    yield from _others(config)
    yield from _edge(config)
    yield from _kubeflow(config)


def _unused_settings(config: ProjectConfig, keys: Iterable[str], why: str) -> Iterator[Problem]:
    """A problem for each of these keys, which have no effect, that differs from its default."""
    for key in keys:
        value = value_of(config, key)
        if value != default_of(config, key):
            yield Problem(key, as_written(value), f"nothing, because {why}", "remove it")


def _kind_of_task(config: ProjectConfig) -> Iterator[Problem]:
    task = config.task
    if task.type != "multi_label":
        keys = ("task.label_separator", "task.threshold")
        yield from _unused_settings(config, keys, f"only a multi_label task reads it, and task.type is {task.type}")
    wrong = _LABEL_METRICS if task.type == "regression" else _REGRESSION_METRICS
    if config.train.metric in wrong:
        known = sorted((_REGRESSION_METRICS | _LABEL_METRICS) - wrong)
        yield Problem(
            "train.metric", repr(config.train.metric), f"auto, loss, {', '.join(known)}: those of task.type {task.type}"
        )
    if task.type != "regression":
        return
    why = "a regression has no labels"
    yield from _unused_settings(config, ("train.label_smoothing", "train.class_weights", "evaluation.calibrate"), why)
    if config.gate.small_class != "off":
        yield from _unused_settings(config, ("gate.small_class_rows",), why)
    for rule in ("small_class", "unseen_label"):
        if getattr(config.gate, rule) != "off":
            yield from _unused_settings(config, (f"gate.{rule}",), why)
    if config.gate.conflicting_labels != "off":
        why = "the same text may have different numbers, from several raters"
        yield from _unused_settings(config, ("gate.conflicting_labels",), why)
    if LABEL_SLICE in config.evaluation.slices and config.evaluation.slices != default_of(config, "evaluation.slices"):
        yield Problem("evaluation.slices", repr(LABEL_SLICE), f"{LENGTH_SLICE}, or a column of the table", "remove it")


def _named_labels(config: ProjectConfig) -> Iterator[Problem]:
    """Checks each label that the configuration names: an unknown spelling would have no effect."""
    for key, label in _labels(config):
        reason = config.task.why_no_label(label)
        if reason:
            yield Problem(key, repr(label), "a label that a row can have", reason)
        elif config.task.labels is not None and label not in config.task.labels:
            yield Problem(key, repr(label), f"one of task.labels: {', '.join(map(repr, config.task.labels[:10]))}")


def _labels(config: ProjectConfig) -> Iterator[tuple[str, str]]:
    if config.task.type == "regression":
        return
    weights = config.train.class_weights
    for label in weights if isinstance(weights, dict) else ():
        yield "train.class_weights", label
    for metric in config.evaluation.thresholds:
        _, slash, label = metric.partition("/")
        if slash:
            yield f"evaluation.thresholds.{metric}", label


def _pairs(config: ProjectConfig) -> Iterator[Problem]:
    if config.task.text_pair is None:
        return
    expected = f"at least {_LEAST_PAIR} for a pair (task.text_pair): its special tokens, and one of each text"
    if config.tokenizer.max_length < _LEAST_PAIR:
        yield Problem("tokenizer.max_length", str(config.tokenizer.max_length), expected)
    short = [length for length in config.edge.lengths if length < _LEAST_PAIR]
    if short and config.edge.variants:
        yield Problem("edge.lengths", str(short[0]), expected)


def _tokenizer(config: ProjectConfig) -> Iterator[Problem]:
    task, tokenizer = config.task, config.tokenizer
    if config.model.type == "preset":
        # `mediapipe_compatible` sets strip_accents itself; the user did not.
        keys = ("vocabulary_size", "lowercase", *(() if tokenizer.mediapipe_compatible else ("strip_accents",)))
        why = "a preset brings its own vocabulary and casing"
        yield from _unused_settings(config, [f"tokenizer.{key}" for key in keys], why)
    if not tokenizer.mediapipe_compatible:
        return
    if task.type == "regression" or task.text_pair is not None:
        got = "a regression" if task.type == "regression" else "pairs (task.text_pair)"
        yield Problem(
            "tokenizer.mediapipe_compatible",
            f"true, for {got}",
            "labels of one text, the only task of MediaPipe's TextClassifier",
            "remove it",
        )
    if len(config.edge.lengths) > 1 and config.edge.variants:
        yield Problem(
            "edge.lengths",
            f"{len(config.edge.lengths)} lengths, with tokenizer.mediapipe_compatible",
            "one: MediaPipe cannot run a file with several signatures",
        )


def _model(config: ProjectConfig) -> Iterator[Problem]:
    model, train = config.model, config.train
    multiples = [key for key in ("layer_decay", "head_multiple") if getattr(train, key) not in (None, 1.0)]
    if not isinstance(model, PresetConfig):
        why = "it is for a preset; from scratch, all layers are new and learn at one rate"
        yield from _unused_settings(config, [f"train.{key}" for key in multiples], why)
        return
    if model.lora_rank is not None and model.freeze != "none":
        yield Problem(
            "model.freeze",
            f"{model.freeze!r}, with model.lora_rank {model.lora_rank}",
            "nothing, because LoRA freezes the encoder except for its low-rank updates",
            "remove one of the two",
        )
    elif model.freeze == "encoder":
        keys = ["train.remat", *(["train.layer_decay"] if "layer_decay" in multiples else [])]
        yield from _unused_settings(config, keys, "model.freeze is 'encoder': no layer below the head learns")


def _training(config: ProjectConfig) -> Iterator[Problem]:
    task, train = config.task, config.train
    if train.strategy == "tpu" and train.xla in (False, "parts"):
        yield Problem(
            "train.xla", str(train.xla).lower(), "true, because a TPU runs only code compiled by XLA", "remove it"
        )
    yield from _devices(train, None if isinstance(config.model, PresetConfig) else config.model.num_heads)
    if train.backend != "tensorflow":
        why = f"train.backend is {train.backend}"
        yield from _unused_settings(config, ("train.xla", "train.onednn"), why)
    if train.contrastive == "on" and (got := _no_pairs_of_rows(config)):
        yield Problem("train.contrastive", f"'on', for {got}", "one label of one text, and a preset", "remove it")
    half = train.label_smoothing / 2
    if task.type == "multi_label" and task.threshold != "auto" and not half < task.threshold < 1 - half:
        yield Problem(
            "train.label_smoothing",
            f"{train.label_smoothing:g}, so targets are {half:g} and {1 - half:g} instead of 0 and 1",
            f"task.threshold between these two; it is {task.threshold:g}",
            "lower label_smoothing, or move the threshold",
        )


def _devices(train: TrainConfig, heads: int | None) -> Iterator[Problem]:
    """`heads`: the encoder's attention heads, if the configuration says how many."""
    if train.strategy == "tpu" and train.backend != "tensorflow":
        expected = f"auto, none or mirrored: with train.backend {train.backend}, there is no TPU strategy"
        yield Problem("train.strategy", "'tpu'", expected, "remove it")
    if train.shards > 1 and train.backend != "jax":
        expected = f"1: with train.backend {train.backend}, each device has the whole model"
        yield Problem("train.shards", str(train.shards), expected, "remove it, or set train.backend to jax")
    elif train.shards > 1 and train.strategy not in ("auto", "mirrored"):
        yield Problem("train.shards", str(train.shards), f"1, with train.strategy {train.strategy}", "remove one")
    elif train.devices is not None and train.devices % train.shards:
        expected = f"a divisor of train.devices, which is {train.devices}"
        yield Problem("train.shards", str(train.shards), expected)
    elif heads is not None and heads % train.shards:
        yield Problem("train.shards", str(train.shards), f"a divisor of model.num_heads, which is {heads}")
    if (train.devices or 1) > 1 and train.strategy in ("none", "tpu"):
        uses = "one device" if train.strategy == "none" else "the whole TPU"
        expected = f"nothing: train.strategy {train.strategy} uses {uses}"
        yield Problem("train.devices", str(train.devices), expected, "remove one of the two")


def _no_pairs_of_rows(config: ProjectConfig) -> str:
    """Why the encoder cannot be tuned on pairs of rows; "" if it can."""
    if config.task.type != "single_label":
        return f"task.type {config.task.type}"
    if config.task.text_pair is not None:
        return "pairs of texts (task.text_pair)"
    if not isinstance(config.model, PresetConfig):
        return "an encoder from scratch"
    if config.model.lora_rank is not None:
        return "LoRA (model.lora_rank)"
    return "an encoder that is frozen (model.freeze)" if config.model.freeze == "encoder" else ""


def _others(config: ProjectConfig) -> Iterator[Problem]:
    if config.data.path is None:
        keys = [f"data.splits.{split}" for split in ("train", "eval", "test")]
        yield from _unused_settings(config, keys, "data.train is not split by shares: `splits` goes with `path`")
    if not config.evaluation.slices and config.edge.variants:
        yield from _unused_settings(config, ("edge.max_slice_loss",), "evaluation.slices is empty")
    for metric, threshold in config.evaluation.thresholds.items():
        for name in threshold.slices:
            column, equals, value = name.partition("=")
            key = f"evaluation.thresholds.{metric}.slices"
            if equals and column == LENGTH_SLICE and value not in length_slices():
                yield Problem(key, repr(name), f"{LENGTH_SLICE}= and one of {', '.join(length_slices())}")
            if equals and column == LABEL_SLICE and config.task.type != "regression":
                reason = config.task.why_no_label(value)
                if reason and value:
                    yield Problem(key, repr(name), "a label that a row can have", reason)


def _edge(config: ProjectConfig) -> Iterator[Problem]:
    longer = [str(length) for length in config.edge.lengths if length > config.tokenizer.max_length]
    if longer and config.edge.variants:
        most = f"at most {config.tokenizer.max_length} tokens, which is tokenizer.max_length"
        yield Problem("edge.lengths", ", ".join(longer), most)


def _kubeflow(config: ProjectConfig) -> Iterator[Problem]:
    kubeflow = config.kubeflow
    if kubeflow.preset is not None and config.model.type != "preset":
        yield Problem(
            "kubeflow.preset", repr(kubeflow.preset), "nothing, because there is no model.preset", "remove it"
        )
    # The number in `default` also applies to steps that name an accelerator themselves.
    own = any(step.accelerator and step.accelerators is None for step in kubeflow.steps.values())
    if kubeflow.default.accelerators is not None and kubeflow.default.accelerator is None and not own:
        yield _no_accelerator("kubeflow.default", kubeflow.default.accelerators)
    for name, step in kubeflow.steps.items():
        if step.accelerators is not None and kubeflow.step(name).accelerator is None:
            yield _no_accelerator(f"kubeflow.steps.{name}", step.accelerators)
    for place, step in {
        "default": kubeflow.default,
        **{f"steps.{name}": kubeflow.step(name) for name in kubeflow.steps},
    }.items():
        memory = step.memory_gb or kubeflow.step("").memory_gb or 0.0
        if step.shared_memory_gb is not None and step.shared_memory_gb > memory:
            yield Problem(
                f"kubeflow.{place}.shared_memory_gb",
                f"{step.shared_memory_gb:g}",
                f"at most {memory:g}, the step's memory_gb: /dev/shm counts as memory",
            )


def _no_accelerator(place: str, count: int) -> Problem:
    return Problem(
        f"{place}.accelerators",
        str(count),
        "an `accelerator` next to it, which names the kind",
        "name it, or remove the number",
    )
