"""The settings of the edge bundle. Imports neither TensorFlow nor LiteRT."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from models.settings import UNIQUE, ConfigSection, EachOnce, FilePath, refuse_boolean
from tflite.convert.variants import Variant

Length = Annotated[int, BeforeValidator(refuse_boolean), Field(ge=4)]


class BudgetConfig(ConfigSection):
    """The device's limits. Limits that are not set are not checked."""

    megabytes: float | None = Field(None, gt=0.0)
    """Largest `model.tflite`, in millions of bytes."""
    memory_megabytes: float | None = Field(None, gt=0.0)
    """Most memory for loading and predicting, in millions of bytes, on the machine that runs the pipeline."""
    latency_ratio: float | None = Field(None, gt=0.0)
    """Longest time per text, as a multiple of float32's in the same run: 0.5 is twice as fast."""
    operations: Annotated[tuple[str, ...], EachOnce, UNIQUE] = ()
    """LiteRT's names of the operations that the device supports ("FULLY_CONNECTED"). Default: all built-in ones."""


class EdgeConfig(ConfigSection):
    """The `.tflite` bundle. The smallest variant that predicts as the model does and keeps the budget is pushed."""

    variants: Annotated[tuple[Variant, ...], EachOnce, UNIQUE] = ("dynamic_int8", "float16")
    """Variants to try. An empty list: no bundle is made."""
    lengths: Annotated[tuple[Length, ...], EachOnce, UNIQUE] = ()
    """Tokens of each signature. Default: one, `tokenizer.max_length`. MediaPipe runs no file with several."""
    rows: int = Field(400, ge=1)
    """Rows of the eval split on which each variant is compared with Keras."""
    min_agreement: float = Field(0.99, ge=0.0, le=1.0)
    """Share of the rows that must get the same label or, in a regression, a number within 0.05 standard deviations."""
    max_loss: float = Field(0.01, ge=0.0)
    """Largest loss of quality: accuracy, micro-F1, or the mean absolute error in standard deviations."""
    max_slice_loss: float = Field(0.05, ge=0.0)
    """The same for each slice of `evaluation.slices` with at least `evaluation.min_slice_size` rows."""
    budget: BudgetConfig = BudgetConfig()
    """The device's limits."""
    directory: FilePath | None = None
    """Folder of the pushed bundles, numbered like the SavedModels. Default: OUTPUT/edge/NAME."""
