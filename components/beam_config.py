"""The settings of Beam, on which the steps that read rows run. Imports no Beam."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from models.settings import ConfigSection

OptionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Value = str | int | float | bool
RUNNERS = (
    "DataflowRunner",
    "FlinkRunner",
    "SparkRunner",
    "PortableRunner",
    "PrismRunner",
    "DirectRunner",
    "BundleBasedDirectRunner",
    "FnApiRunner",
    "InteractiveRunner",
    "KafkaStreamsRunner",
    "SwitchingDirectRunner",
    "TestDataflowRunner",
    "TestDirectRunner",
)
"""The runners that Beam knows by name; a test compares them."""
_REFUSED = {
    "DaskRunner": "it loses results without an error",
    "InteractiveRunner": "it is for notebooks",
}
_OWN = {"runner": "beam.runner", "direct_num_workers": "beam.workers", "direct_running_mode": "beam.workers"}


class BeamStepConfig(ConfigSection):
    """Where a step's rows are read."""

    runner: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_.]*$")
    """Beam's name of a runner with workers of its own: `DataflowRunner`, `FlinkRunner`, `SparkRunner`,
    `PortableRunner`. Default: Beam's in-memory runner, in the step's own process and forks of it."""
    options: dict[OptionName, Value | tuple[Value, ...]] = {}
    """The runner's options, as Beam names them: `{region: europe-west4, temp_location: gs://…}`. `true` for a flag; a
    list for an option that may be given several times."""

    @field_validator("runner")
    @classmethod
    def _check_runner(cls, runner: str | None) -> str | None:
        """The name as Beam writes it: to Beam, `flink` is `FlinkRunner`, too."""
        if runner is None:
            return None
        known = {name.lower(): name for name in (*RUNNERS, *_REFUSED)}
        folded = runner.rpartition(".")[2].lower()
        name = known.get(folded) or known.get(f"{folded}runner")
        if name in _REFUSED:
            raise ValueError(f"another runner: {name} is refused, because {_REFUSED[name]}")
        if "." in runner:
            return runner
        if name is None:
            close = difflib.get_close_matches(folded, known, n=1)
            hint = f": did you mean {known[close[0]]}?" if close else ""
            raise ValueError(f"a runner that Beam knows ({', '.join(RUNNERS[:4])} …), or a class with its module{hint}")
        return name

    @field_validator("options")
    @classmethod
    def _refuse_own(cls, options: Mapping[str, Value | tuple[Value, ...]]) -> Mapping[str, Value | tuple[Value, ...]]:
        for name, key in _OWN.items():
            if name in options:
                raise ValueError(f"no {name!r}: set {key}")
        return options


class BeamConfig(BeamStepConfig):
    """Beam, which ExampleGen, StatisticsGen, DataGate, TokenizerTrainer, Transform and Evaluator use to read rows."""

    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Processes of a step on this machine, without a runner. `auto`: one per core, but one for every 32 MB of data at
    most."""
    steps: dict[str, BeamStepConfig] = {}
    """Another runner for some steps, and further options, by the step's name."""

    def arguments(self, step: str) -> list[str]:
        """The command-line arguments for Beam in a step; none without a runner."""
        own = self.steps.get(step, BeamStepConfig())
        runner = own.runner or self.runner
        if runner is None:
            return []
        found = [f"--runner={runner}"]
        for name, value in {**self.options, **own.options}.items():
            for one in value if isinstance(value, tuple) else (value,):
                if one is not False:
                    found.append(f"--{name}" if one is True else f"--{name}={one}")
        return found
