"""What the edge bundle can be told. Imports neither TensorFlow nor LiteRT."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from models.settings import UNIQUE, ConfigSection, EachOnce, FilePath, refuse_boolean
from tflite.convert.variants import Variant

Length = Annotated[int, BeforeValidator(refuse_boolean), Field(ge=4)]


class BudgetConfig(ConfigSection):
    """What the device can take; what is not given is not judged."""

    megabytes: float | None = Field(None, gt=0.0)
    """Largest `model.tflite`, in millions of bytes."""
    memory_megabytes: float | None = Field(None, gt=0.0)
    """Most memory of loading and asking it, in millions of bytes, on the machine that runs the pipeline."""
    latency_ratio: float | None = Field(None, gt=0.0)
    """Longest time of one text, as a multiple of float32's in the same run: 0.5 is twice as fast."""
    operations: Annotated[tuple[str, ...], EachOnce, UNIQUE] = ()
    """LiteRT's names of the only operations that the device has ("FULLY_CONNECTED"). Default: all built-in ones."""


class EdgeConfig(ConfigSection):
    """The `.tflite` bundle: the smallest variant that answers as the model does and keeps the budget is pushed."""

    variants: Annotated[tuple[Variant, ...], EachOnce, UNIQUE] = ("dynamic_int8", "float16")
    """Variants to try. None: no bundle is made."""
    lengths: Annotated[tuple[Length, ...], EachOnce, UNIQUE] = ()
    """Tokens of the signatures. Default: one, of `tokenizer.max_length`; MediaPipe runs no file of several."""
    rows: int = Field(400, ge=1)
    """Rows of the eval split on which each variant is compared with Keras."""
    min_agreement: float = Field(0.99, ge=0.0, le=1.0)
    """Share of the rows that must get the same label; of a regression's, the same number but for 0.05 of the spread."""
    max_loss: float = Field(0.01, ge=0.0)
    """How much worse the quality may be: accuracy, micro-F1, or the mean absolute error as a share of the spread."""
    max_slice_loss: float = Field(0.05, ge=0.0)
    """The same on each of `evaluation.slices` that has `evaluation.min_slice_size` rows."""
    budget: BudgetConfig = BudgetConfig()
    """What the device can take."""
    author: str = ""
    """Stands in the file's metadata."""
    licence: str = ""
    """Stands in the file's metadata."""
    directory: FilePath | None = None
    """Folder of the pushed bundles, numbered as the SavedModels are. Default: OUTPUT/edge/NAME."""
