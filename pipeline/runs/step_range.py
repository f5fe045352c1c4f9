"""The steps that --from and --to name. No TensorFlow."""

from __future__ import annotations

import difflib

from models.errors import ConfigError
from pipeline.config import ProjectConfig
from pipeline.steps import BASELINES_STEP, EDGE_STEPS, STEPS


def check_range(config: ProjectConfig, from_step: str | None, to_step: str | None) -> None:
    """Checks the steps of --from and --to.

    Raises:
        ConfigError: there is no such step, not in this configuration, or the last one is before the first.
    """
    for option, name in (("--from", from_step), ("--to", to_step)):
        if name is not None and name not in STEPS:
            close = [step for step in STEPS if step.lower() == name.lower()] or difflib.get_close_matches(name, STEPS)
            fix = f"did you mean {close[0]}?" if close else ""
            raise ConfigError(option, got=name, expected="one of " + ", ".join(STEPS), fix=fix)
        if name in EDGE_STEPS and not config.edge.variants:
            raise ConfigError(
                option,
                got=f"{name}, which is not a step while edge.variants is empty",
                fix="set edge.variants, or name another step",
            )
        wanted = config.evaluation.baselines
        if name == BASELINES_STEP and wanted.majority == wanted.linear == "off":
            raise ConfigError(
                option,
                got=f"{name}, which is not a step while both of evaluation.baselines are off",
                fix="set evaluation.baselines.linear to warn, or name another step",
            )
    if from_step is not None and to_step is not None and STEPS.index(from_step) > STEPS.index(to_step):
        raise ConfigError(
            "--from and --to",
            got=f"{from_step}, which comes after {to_step}",
            expected="a step and a later one, or the same: " + ", ".join(STEPS),
            fix="swap them",
        )


def is_in_range(step: str, from_step: str | None, to_step: str | None) -> bool:
    """Whether a step is among those of a run."""
    first, last = from_step or STEPS[0], to_step or STEPS[-1]
    return STEPS.index(first) <= STEPS.index(step) <= STEPS.index(last)
