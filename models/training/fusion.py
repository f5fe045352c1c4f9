"""How much the linear model's logits count beside the encoder's: what the eval rows say.

Two models that err on different rows are better together. Their logits are added with the weights of lowest log loss
(or squared error) on the eval rows: stacking (Wolpert 1992) with one number for each model. For labels, only their
relation is kept: the weights add up to what they were in training, so that the temperature (`models.calibration`) alone
says how sure the model is, and the figures before it are those of a model that has not been calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy import optimize, special

from models.config import ModelConfig, PresetConfig, TaskConfig
from models.network.head import find_head
from models.network.surface import find_surface
from tflite.host.labels import LabelSpace

FEWEST_ROWS = 50
"""With fewer eval rows the weights would be chance."""
_MOST_VALUES = 1_000_000  # rows times outputs: enough for two numbers
_LOWEST, _HIGHEST = 1e-3, 20.0  # of a part's factor
_MOST = 5.0  # of the linear model's weight, as a multiple of the encoder's


def resolve_linear_part(config: ModelConfig, eval_rows: int) -> ModelConfig:
    """The settings of the model; of a preset without a linear model, if the eval rows are too few to weigh it."""
    if isinstance(config, PresetConfig) and eval_rows < FEWEST_ROWS:
        return config.model_copy(update={"linear_rows": 0})
    return config


@dataclass(frozen=True)
class Fusion:
    """The model's logits: `encoder` times the encoder's, plus `linear` times the linear model's, plus `offset`.

    `offset` is 0 except for a regression.
    """

    linear: float
    encoder: float = 1.0
    offset: float = 0.0

    def apply(self, encoder: np.ndarray, linear: np.ndarray) -> np.ndarray:
        """Float32 [N, C] each, to the same."""
        return (self.encoder * encoder + self.linear * linear + self.offset).astype(np.float32)


def fuse(
    encoder: np.ndarray, linear: np.ndarray | None, targets: np.ndarray, **options: Any
) -> tuple[np.ndarray, Fusion | None]:
    """The sum of the logits, and what `fit` found; the encoder's alone and None if there is no linear model."""
    if linear is None:
        return encoder, None
    found = fit(encoder, linear, targets, **options)
    return found.apply(encoder, linear), found


def fit(
    encoder: np.ndarray,
    linear: np.ndarray,
    targets: np.ndarray,
    *,
    task: TaskConfig,
    labels: LabelSpace,
    default: float,
) -> Fusion:
    """The weights of lowest loss on the eval rows.

    Args:
        encoder, linear: float32 [N, C], the two models' logits; of a regression standardized.
        targets: as in `TokenRows`; of a regression in their own unit.
        default: the linear model's weight where the rows are too few, or say nothing.
    """
    if len(targets) < FEWEST_ROWS or not np.isfinite(encoder).all():
        return Fusion(default)
    chosen = np.random.default_rng(0).permutation(len(targets))[: max(_MOST_VALUES // encoder.shape[1], FEWEST_ROWS)]
    encoder, linear, targets = encoder[chosen], linear[chosen], targets[chosen]
    first, second = encoder.astype(np.float64), linear.astype(np.float64)
    if task.type == "regression":
        return _fit_number(first[:, 0], second[:, 0], (targets - labels.mean) / labels.std) or Fusion(default)
    several, usual = task.type == "multi_label", first + default * second
    wrong = (usual > 0) != (targets > 0.5) if several else usual.argmax(axis=1) != targets
    if not wrong.any():  # then the loss falls without end, and only the size of the logits matters
        return Fusion(default)
    # The encoder alone, and it with the most of the linear model: in their factors the limits are bounds.
    parts = np.stack([first, first + _MOST * second])
    loss = _log_loss_of_several(parts, targets > 0.5) if several else _log_loss(parts, targets)
    begin, bounds = (1.0 - default / _MOST, default / _MOST), [(_LOWEST, _HIGHEST), (0.0, _HIGHEST)]
    found = optimize.minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds).x
    linear_weight, encoder_weight = _MOST * float(found[1]), float(found.sum())
    scale = (1.0 + default) / (linear_weight + encoder_weight)
    if not math.isfinite(scale):
        return Fusion(default)
    return Fusion(scale * linear_weight, scale * encoder_weight)


def install(model: keras.Model, fusion: Fusion) -> None:
    """Gives the weights to the model, whose last layers are the head, the linear model and their sum."""
    surface = find_surface(model)
    assert surface is not None
    surface.rescale(fusion.linear)
    head = find_head(model)
    head.kernel.assign(head.kernel * fusion.encoder)
    head.bias.assign(head.bias * fusion.encoder + fusion.offset)


_Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""From the two weights to the mean loss and its gradient. It is convex in them."""


def _log_loss(parts: np.ndarray, targets: np.ndarray) -> _Loss:
    """Of labels, int [N], and the two parts' logits, [2, N, C]."""
    margins = parts - parts[:, np.arange(len(targets)), targets][..., None]  # relative to the logit of what is true

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.tensordot(weights, margins, axes=1)
        shares = special.softmax(logits, axis=1)
        return float(special.logsumexp(logits, axis=1).mean()), (margins * shares).sum(axis=2).mean(axis=1)

    return loss


def _log_loss_of_several(parts: np.ndarray, true: np.ndarray) -> _Loss:
    """Of sets of labels, bool [N, C], and the two parts' logits, [2, N, C]."""
    margins = np.where(true, -parts, parts)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.tensordot(weights, margins, axes=1)
        return float(np.logaddexp(0.0, logits).mean()), (margins * special.expit(logits)).mean(axis=(1, 2))

    return loss


def _fit_number(first: np.ndarray, second: np.ndarray, targets: np.ndarray) -> Fusion | None:
    """Least squares, without negative weights; None if the rows decide nothing."""
    columns = np.stack([first, second, np.ones(len(first))], axis=1)
    if np.linalg.matrix_rank(columns) < columns.shape[1]:
        return None
    limits = ([_LOWEST, 0.0, -np.inf], [np.inf, np.inf, np.inf])
    encoder, linear, offset = optimize.lsq_linear(columns, targets, limits).x
    return Fusion(float(linear), float(encoder), float(offset))
