"""The effect of each key of the configuration: two values, and a function that checks the difference they make.

`setting` registers an entry; `test_settings.py` runs them all, and fails for a key without one. The values are written
to a file and loaded like a user's, and the steps' settings are read from the pipeline's graph. So an entry fails if a
key is lost on the way, as well as if nothing reads it.
"""

from __future__ import annotations

import functools
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel

from components.config import DataConfig, EvaluationConfig, GateConfig, ServingConfig
from models.config import ModelsConfig, TaskConfig, TokenizerConfig
from pipeline import graph
from pipeline.config import ProjectConfig
from pipeline.configuration.loading import load
from pipeline.paths import Paths
from tflite.config import EdgeConfig


@dataclass(frozen=True)
class Setting:
    """A project with one of the two values.

    Attributes:
        config: the loaded configuration.
        folder: the folder of its file.
    """

    config: ProjectConfig
    folder: Path

    @property
    def paths(self) -> Paths:
        return Paths.from_config(self.config, self.folder / "transom.yaml")

    @functools.cached_property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Each step's properties in the graph."""
        pipeline = graph.build(self.config, self.paths)
        return {node.id: dict(node.exec_properties) for node in pipeline.components}

    def part(self, step: str, name: str, kind: type[BaseModel]) -> Any:
        """A part of the configuration as a step gets it."""
        return kind.model_validate_json(self.steps[step][name])

    @property
    def models(self) -> ModelsConfig:
        """The settings of the Trainer."""
        return ModelsConfig.from_stored(json.loads(self.steps["Trainer"]["config"]))

    @property
    def data(self) -> tuple[DataConfig, TaskConfig]:
        """The settings of ExampleGen."""
        from components.steps.example_gen import unpack_settings

        settings = unpack_settings(self.steps["ExampleGen"])
        return DataConfig.model_validate(settings["data"]), TaskConfig.model_validate(settings["task"])

    @property
    def vocabulary(self) -> tuple[TaskConfig, TokenizerConfig, str | None]:
        """The settings of the TokenizerTrainer: task, tokenizer, preset."""
        settings = json.loads(self.steps["TokenizerTrainer"]["settings"])
        task, tokenizer = (
            TaskConfig.model_validate(settings["task"]),
            TokenizerConfig.model_validate(settings["tokenizer"]),
        )
        return task, tokenizer, settings["preset"]

    @property
    def gate(self) -> GateConfig:
        gate: GateConfig = self.part("DataGate", "gate", GateConfig)
        return gate

    @property
    def evaluation(self) -> EvaluationConfig:
        evaluation: EvaluationConfig = self.part("Evaluator", "config", EvaluationConfig)
        return evaluation

    @property
    def serving(self) -> ServingConfig:
        serving: ServingConfig = self.part("ServingGate", "config", ServingConfig)
        return serving

    @property
    def edge(self) -> EdgeConfig:
        """The settings of the EdgeGate."""
        edge: EdgeConfig = self.part("EdgeGate", "config", EdgeConfig)
        return edge


Observe = Callable[[Setting, Setting], None]


@dataclass(frozen=True)
class Effect:
    """One entry.

    Attributes:
        at: the key that is set.
        values: the two values.
        base: other keys that both projects have.
        steps: the steps whose settings differ, so that they run again; None: not checked.
        observe: asserts the difference.
    """

    at: str
    values: tuple[Any, Any]
    base: Mapping[str, Any]
    steps: frozenset[str] | None
    observe: Observe

    def settings(self, folder: Path) -> tuple[Setting, Setting]:
        """The two projects, each in a folder with its own name."""
        first, second = (_write(folder, {**self.base, self.at: value}) for value in self.values)
        return first, second


EFFECTS: dict[str, Effect] = {}
_SCRATCH = tempfile.TemporaryDirectory(prefix="settings-")


def scratch() -> Path:
    """A new folder that several entries share; it is removed when the tests end."""
    return Path(tempfile.mkdtemp(dir=_SCRATCH.name))


def setting(
    path: str,
    first: Any,
    second: Any,
    *,
    steps: str | None = "",
    at: str | None = None,
    base: Mapping[str, Any] | None = None,
) -> Callable[[Observe], Observe]:
    """Registers the effect of a key, see `Effect`; `steps` are names separated by spaces."""

    def register(observe: Observe) -> Observe:
        assert path not in EFFECTS, path
        step_names = None if steps is None else frozenset(steps.split())
        EFFECTS[path] = Effect(at or re.sub(r"\[\w+\]", "", path), (first, second), base or {}, step_names, observe)
        return observe

    return register


def _write(folder: Path, keys: Mapping[str, Any]) -> Setting:
    raw: dict[str, Any] = {}
    given = dict(keys)
    if not any(key in ("data.path", "data.train") for key in given):
        given["data.path"] = "table.csv"
    for key, value in given.items():
        *parents, last = key.split(".")
        group = raw
        for name in parents:
            group = group.setdefault(name, {})
        group[last] = value
    file = folder / "transom.yaml"
    file.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    return Setting(load(file), folder)


def every_key(model: type[BaseModel] = ProjectConfig, prefix: str = "") -> Iterator[str]:
    """The path of every key: `model[preset].freeze`, `evaluation.thresholds.*.min`, `kubeflow.mounts[].claim`."""
    for name, field in model.model_fields.items():
        groups = list(_groups(field.annotation, f"{prefix}{name}"))
        if not groups:
            yield f"{prefix}{name}"
        for path, group in groups:
            yield from every_key(group, f"{path}.")


def _groups(annotation: Any, path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            yield path, annotation
        return
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        yield from _groups(arguments[0], path)
    elif get_origin(annotation) in (tuple, list):
        yield from _groups(arguments[0], f"{path}[]")
    elif get_origin(annotation) is dict:
        yield from _groups(arguments[1], f"{path}.*")
    else:
        found = [each for argument in arguments for each in _groups(argument, path)]
        direct = [group for place, group in found if place == path]
        for place, group in found:
            kind = group.model_fields["type"].default if len(direct) > 1 else ""
            yield (f"{place}[{kind}]" if kind else place), group
