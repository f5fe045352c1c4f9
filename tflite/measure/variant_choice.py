"""Chooses the variant to push: the smallest that predicts as Keras does and keeps the budget; says why not others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tflite.config import EdgeConfig
from tflite.convert.variants import Variant
from tflite.host.json_text import finite
from tflite.measure.cost import Cost
from tflite.measure.parity import Parity


@dataclass(frozen=True)
class Candidate:
    """The measurements of one variant; `parity` and `cost` are None if it could not be made or run."""

    variant: Variant
    parity: Parity | None = None
    cost: Cost | None = None
    operations: tuple[str, ...] = ()  # LiteRT's names of its operations
    broken: str = ""  # why it could not be made or is incomplete; "" if it is fine


def choose_variant(candidates: Sequence[Candidate], float32: Cost | None, config: EdgeConfig) -> dict[str, Any]:
    """The report: `blessed`, `variant` (None if none passed), `verdict` (a sentence), and a table of the variants.

    Args:
        float32: cost of the float32 file; None if it could not be made.
    """
    reasons = {candidate.variant: rejection_reasons(candidate, float32, config) for candidate in candidates}
    passing = [candidate for candidate in candidates if not reasons[candidate.variant]]
    chosen = min(passing, key=lambda candidate: candidate.cost.bytes if candidate.cost else 0, default=None)
    rows = []
    for candidate in sorted(candidates, key=lambda candidate: candidate.cost.bytes if candidate.cost else math.inf):
        why = "; ".join(reasons[candidate.variant])
        if chosen is not None and candidate is not chosen and not why:
            why = f"larger than {chosen.variant}"
        rows.append({**_row(candidate, float32), "chosen": candidate is chosen, "why": why})
    return {
        "blessed": chosen is not None,
        "variant": None if chosen is None else chosen.variant,
        "verdict": _sentence(chosen, float32, candidates, reasons),
        "budget": config.budget.model_dump(mode="json"),
        "variants": rows,
    }


def rejection_reasons(candidate: Candidate, float32: Cost | None, config: EdgeConfig) -> list[str]:
    """Why a variant is rejected; empty if it passes."""
    if candidate.broken:
        return [candidate.broken]
    assert candidate.parity is not None
    assert candidate.cost is not None
    return [*_differences(candidate.parity, config), *_excesses(candidate, candidate.cost, float32, config)]


def _differences(parity: Parity, config: EdgeConfig) -> list[str]:
    """Differences beyond the limits. Each test asks whether a figure is good, so that a NaN fails."""
    found = []
    if not parity.rows:
        found.append("there are no rows to compare with Keras")
    if parity.not_finite:
        found.append(f"predicts NaN or infinity for {parity.not_finite} of {parity.rows} rows")
    if parity.other_token_ids:
        found.append(f"{parity.other_token_ids} of {parity.rows} rows have other token ids than in the served model")
    if not parity.agreement >= config.min_agreement:
        found.append(f"agreement {parity.agreement:.4f} is below edge.min_agreement {config.min_agreement:g}")
    for part in parity.quality:
        limit, key = (config.max_slice_loss, "max_slice_loss") if part.slice else (config.max_loss, "max_loss")
        where = f"slice {part.slice} ({part.rows} rows)" if part.slice else f"{part.rows} rows"
        if not part.rows:
            found.append(f"edge.{key} cannot be judged: none of the compared rows has a label")
        elif not part.loss <= limit + 1e-9:  # a loss of one row in a hundred is 0.010000000000000009
            found.append(f"loses {part.loss:.4f} on {where}, edge.{key} is {limit:g}")
    return found


def _excesses(candidate: Candidate, cost: Cost, float32: Cost | None, config: EdgeConfig) -> list[str]:
    """Violations of the budget, and parts of it that cannot be judged: a missing figure does not pass."""
    budget, found = config.budget, []
    if budget.megabytes is not None and cost.bytes > 1e6 * budget.megabytes:
        found.append(f"{cost.bytes / 1e6:.2f} MB, edge.budget.megabytes is {budget.megabytes:g}")
    if budget.memory_megabytes is not None:
        found += _over_memory(cost, budget.memory_megabytes)
    if budget.latency_ratio is not None:
        found += _over_latency(latency_ratio(cost, float32), budget.latency_ratio)
    if budget.operations:
        found += _unavailable(candidate.operations, budget.operations)
    return found


def _over_memory(cost: Cost, limit: float) -> Iterator[str]:
    if cost.memory_bytes <= 0:  # the process had used more before it loaded the model
        yield f"its memory could not be measured, so edge.budget.memory_megabytes {limit:g} cannot be judged"
    elif cost.memory_bytes > 1e6 * limit:
        yield f"{cost.memory_bytes / 1e6:.1f} MB of memory, edge.budget.memory_megabytes is {limit:g}"


def _over_latency(ratio: float | None, limit: float) -> Iterator[str]:
    if ratio is None:
        yield (
            "there is no float32 latency to compare with (the float32 file could not be made or run), so "
            f"edge.budget.latency_ratio {limit:g} cannot be judged"
        )
    elif ratio > limit:
        yield f"{ratio:.2f} times float32's latency, edge.budget.latency_ratio is {limit:g}"


def _unavailable(operations: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    unknown = sorted(set(operations) - set(known))
    if not operations:
        yield "its operations are unknown, so edge.budget.operations cannot be judged"
    elif unknown:
        yield f"needs {', '.join(unknown)}, which edge.budget.operations does not list"


def latency_ratio(cost: Cost, float32: Cost | None) -> float | None:
    """The ratio of the median latencies of the longest signature; None if one is missing."""
    if float32 is None or not cost.latency_ms or not float32.latency_ms:
        return None
    own, other = cost.latency_ms[-1].median, float32.latency_ms[-1].median
    return own / other if own > 0 and other > 0 else None


def _row(candidate: Candidate, float32: Cost | None) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": candidate.variant}
    if candidate.cost is not None:
        row |= {"cost": asdict(candidate.cost), "latency_ratio": latency_ratio(candidate.cost, float32)}
    if candidate.parity is not None:
        row |= {"parity": finite(asdict(candidate.parity)), "same_answer": _percent(candidate.parity.agreement)}
        row["operations"] = list(candidate.operations)
    return row


def _sentence(
    chosen: Candidate | None, float32: Cost | None, candidates: Sequence[Candidate], reasons: dict[Variant, list[str]]
) -> str:
    if chosen is None:
        first_reasons = "; ".join(f"{each.variant}: {reasons[each.variant][0]}" for each in candidates)
        return f"no edge bundle: {first_reasons}"
    assert chosen.cost is not None
    assert chosen.parity is not None
    size = f"{chosen.cost.bytes / 1e6:.2f} MB"
    if float32 is not None and chosen.variant != "float32":
        size += f" of {float32.bytes / 1e6:.2f}"
    agreement, rows = _percent(chosen.parity.agreement), chosen.parity.rows
    return f"edge bundle {chosen.variant}: {size}, Keras's prediction on {agreement} of {rows} rows"


def _percent(share: float) -> str:
    """Rounded down, so that 100.0% means all; "-" for NaN."""
    if not math.isfinite(share):
        return "-"
    return f"{math.floor(1000 * share) / 10:.1f}%"
