"""What can go wrong in training, as errors that a person can act on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from models.config import TaskConfig
from models.errors import TrainingError
from models.training.token_rows import TokenRows
from models.training_config import TrainConfig
from tflite.host.labels import LabelSpace

# By name, because only one of the frameworks is installed where this runs. TensorFlow's, PyTorch's, NumPy's.
_TOO_LITTLE_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError", "MemoryError", "_ArrayMemoryError")
_SIGNS_OF_TOO_LITTLE_MEMORY = ("RESOURCE_EXHAUSTED", "DefaultCPUAllocator")  # JAX's, and PyTorch's on a CPU
_CANNOT_COMPILE = ("UnimplementedError", "InvalidArgumentError")  # TensorFlow's


def check_rows(train: TokenRows, evaluation: TokenRows, labels: LabelSpace, task: TaskConfig, max_length: int) -> None:
    """Refuses rows that cannot be trained on.

    Raises:
        TrainingError: a split is empty, or has rows or targets that do not fit the model.
    """
    for name, rows in (("training", train), ("eval", evaluation)):
        if len(rows) == 0:
            raise TrainingError(
                f"the {name} split has no rows",
                got=f"{rows.dropped} rows whose label never occurs in training" if rows.dropped else "no rows at all",
                expected="at least one row",
                fix="provide more data, or change the shares in data.splits",
            )
        if int(rows.lengths.max()) > max_length:
            raise TrainingError(
                f"the {name} split has rows longer than tokenizer.max_length",
                got=f"{int(rows.lengths.max())} tokens",
                expected=f"at most {max_length}",
                fix="run the Transform step again: these rows come from another configuration",
            )
        if task.type == "single_label" and int(rows.targets.max()) >= labels.outputs:
            raise TrainingError(
                f"the {name} split has targets beyond the labels",
                got=f"target {int(rows.targets.max())}",
                expected=f"at most {labels.outputs - 1}",
                fix="run the Transform step again: these rows come from other labels",
            )


def loss_not_finite(loss: float, step: int, steps: int, rate: float, config: TrainConfig) -> TrainingError:
    advice = ["a lower train.learning_rate", "a longer train.warmup"]
    if config.clip_norm is None:
        advice.append("train.clip_norm: 1.0")
    if config.precision == "mixed_float16":
        advice.append("train.precision: mixed_bfloat16")
    return TrainingError(
        f"the loss is not finite at step {step} of {steps}",
        got=f"loss {loss} at learning rate {rate:.3g}",
        expected="a finite loss",
        fix=f"try {', '.join(advice)}; `transom run --debug --steps {step}` names the layer and the rows",
    )


def eval_loss_not_finite(loss: float, epoch: int) -> TrainingError:
    """The error for an eval loss that is NaN or infinite though the training loss is not."""
    return TrainingError(
        f"the loss on the eval rows is not finite after epoch {epoch}",
        got=f"loss {loss}",
        expected="a finite loss",
        fix="look for eval rows whose label is not a number or a huge one; if there are none, try a lower "
        "train.learning_rate",
    )


@contextlib.contextmanager
def explain_step_errors(config: TrainConfig) -> Iterator[None]:
    """Turns the framework's errors in a step into a TrainingError.

    Raises:
        TrainingError: the device has too little memory, or XLA cannot compile the model.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            remat = "" if config.remat else "set train.remat to true, "
            raise TrainingError(
                "the device has too little memory for a training step",
                got=_first_line(error),
                expected=f"room for {config.batch_size} rows",
                fix=f"{remat}halve train.batch_size and double train.accumulate, or lower tokenizer.max_length",
            ) from error
        if config.xla and type(error).__name__ in _CANNOT_COMPILE:
            raise TrainingError(
                "the training step cannot be run with XLA",
                got=_first_line(error),
                expected="operations that XLA can compile on this device",
                fix="set train.xla to false",
            ) from error
        raise


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device, or the machine, had too little memory."""
    signs = any(sign in str(error) for sign in _SIGNS_OF_TOO_LITTLE_MEMORY)
    return signs or type(error).__name__ in _TOO_LITTLE_MEMORY


def _first_line(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error)
    return next((line.strip() for line in str(text).splitlines() if line.strip()), type(error).__name__)
