"""Configuration of the training. Imports no TensorFlow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from models.label_names import by_label_name
from models.settings import ConfigSection, refuse_boolean

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
# A weight of 0 would silently remove rows from the loss, and a batch of such rows would have no loss at all.
Weight = Annotated[float, BeforeValidator(refuse_boolean), Field(gt=0.0, le=1e6)]
Xla = Literal["parts"] | bool
"""What XLA compiles of a step: everything, only the small operations between the matrix products, or nothing."""


class TrainConfig(ConfigSection):
    """How the model is trained."""

    epochs: int | None = Field(None, ge=1, le=10_000)
    """Maximum number of passes over the training split. Default: 4 for a preset, 10 from scratch; as many more as 100
    optimizer steps need, unless the encoder was tuned on pairs of rows (`contrastive`)."""
    batch_size: int = Field(32, ge=1)
    """Rows of one optimizer step over all replicas; with `accumulate`, rows of one forward pass."""
    learning_rate: float | None = Field(None, gt=0.0)
    """Peak of the schedule. Default: 1e-4 for a preset, 5e-4 from scratch, 1e-3 with LoRA."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls from its peak to the end."""
    warmup: Fraction = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = Field(0.01, ge=0.0)
    """AdamW's decay per step, as a multiple of the learning rate; never of biases, norms and token vectors
    of a preset that no text contains."""
    ema_momentum: float | None = Field(None, ge=0.0, lt=1.0)
    """Evaluate and keep a moving average of the weights, with this momentum per step; 0: the weights themselves.
    Default: 0.99 from scratch, 0 for a preset."""
    layer_decay: float | None = Field(None, gt=0.0, le=1.0)
    """Preset: each layer below the head learns at this multiple of the rate of the layer above. Default: 0.85;
    of two texts 1."""
    head_multiple: float | None = Field(None, gt=0.0)
    """Preset: the new head learns at this multiple of the rate. Default: 10, of two texts 3, with LoRA 1."""
    contrastive: Literal["auto", "on", "off"] = "auto"
    """Preset, one label of one text: before the usual training, tune the encoder on pairs of rows, so that rows of the
    same label become similar and others do not (as SetFit does). `auto`: up to 64 rows per label on average."""
    clip_norm: float | None = Field(1.0, gt=0.0)
    """Gradients are scaled so that their global norm is at most this."""
    label_smoothing: Fraction = 0.0
    """Share of the target's mass spread evenly over the labels (`single_label` and `multi_label`)."""
    class_weights: Literal["none", "balanced"] | dict[str, Weight] = "none"
    """Weight of each label's rows in the loss; 1 for labels that are not named. `balanced`: inverse to the label's
    frequency."""
    accumulate: int = Field(1, ge=1, le=100_000)
    """Batches whose gradients are averaged into one optimizer step."""
    early_stopping: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better eval metric. The best epoch's weights are kept in any case.
    Default: 2 for a preset, 5 from scratch, and more where the default of `epochs` is. A number of at least `epochs`
    turns it off."""
    metric: Literal["auto", "loss", "accuracy", "macro_f1", "micro_f1", "mse", "spearman", "calibrated_loss"] = "auto"
    """The eval metric that decides which epoch is best. `auto`: accuracy, micro_f1 or spearman, by the task; macro_f1
    with balanced `class_weights`; from scratch, if the encoder is trained on top of a linear model, calibrated_loss
    instead of accuracy: the log loss that the best temperature would give."""
    backend: Literal["tensorflow", "jax", "torch"] = "tensorflow"
    """The framework that trains. JAX and PyTorch do so in an environment of their own (`transom backends`); everything
    before and after stays on TensorFlow."""
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    """Keras dtype policy of the computation. With a mixed one, trained weights are float32, and those that are not
    trained (LoRA, `model.freeze`) are kept in half precision while the others are trained. `auto`: mixed_bfloat16 on
    a TPU, and with TensorFlow for a preset on a CPU that is faster in it (AMX; AMD's AVX512-BF16); else float32."""
    strategy: Literal["auto", "none", "mirrored", "tpu"] = "auto"
    """`mirrored`: every device has a copy of the model and trains on a share of each batch. `auto`: that if there are
    several devices, else none. On a single device, `mirrored` means none."""
    devices: int | None = Field(None, ge=1, le=1024)
    """Devices that train. Default: all GPUs, or one CPU. On a machine without a GPU, as many parts of its CPU: logical
    devices on TensorFlow and JAX, processes on PyTorch."""
    shards: int = Field(1, ge=1, le=1024)
    """JAX: devices that hold one copy of the model together, each a part of the weights and their gradients; for a
    model that does not fit one device. It must divide `devices` and the model's number of attention heads."""
    xla: Literal["auto", "parts"] | bool = "auto"
    """Compile the forward and backward pass with XLA, inside each replica; `parts`: only the small operations between
    the matrix products. `auto`: true; on a CPU with AVX-512 `parts`, except for an encoder from scratch in float32,
    because TensorFlow multiplies faster there."""
    remat: bool = False
    """Compute the activations of Transformer layers again in the backward pass instead of keeping them: less memory,
    more time, the same loss and gradients. Not while an encoder is tuned on pairs of rows (`contrastive`)."""
    onednn: Literal["auto", "on", "off"] = "auto"
    """oneDNN kernels on the CPU, set before TensorFlow is loaded. `auto`: on."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the initial weights, dropout and the order of the rows."""
    checkpoint_steps: int | None = Field(None, ge=1)
    """Optimizer steps between checkpoints from which an interrupted run continues, in addition to those written every
    half minute (less often if that would take over 2% of the time). Default: only those."""

    @field_validator("class_weights")
    @classmethod
    def _clean_class_weights(cls, given: str | dict[str, float]) -> str | dict[str, float]:
        return by_label_name(given) if isinstance(given, dict) else given
