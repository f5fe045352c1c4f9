"""DataGate: stops a run if no model can be trained on the data, or evaluated."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.types import standard_component_specs as specs

from components.artifacts import Artifacts, DataBlessing, LiveModelArtifact
from components.config import GateConfig
from components.data.gate import drift, findings, rules
from components.data.gate.anomalies import anomaly_findings, load_anomalies
from components.data.gate.counts import SplitFacts
from components.data.rows import Record
from components.data.text_keys import READING_KEYS, TextReading, load_text_reading
from components.fingerprint import fingerprint
from components.tf_examples import from_example, read_split
from models.config import TaskConfig, TokenizerConfig
from tflite.host.json_text import to_json

USER_LOG = logging.getLogger("transom")
_TASK_KEYS = {"type", "text", "text_pair", "label", "labels", "label_separator"}


def data_gate(
    *,
    examples: types.BaseChannel,
    anomalies: types.BaseChannel,
    gate: GateConfig,
    task: TaskConfig,
    live_model: types.BaseChannel | None = None,
    curated: bool = False,
    tokenizer: TokenizerConfig | None = None,
    preset: str | None = None,
    digest: str = "",
) -> base_component.BaseComponent:
    """The component with the output `blessing` (`DataBlessing`), which exists only where the data may pass.

    The blessing's folder holds `findings.json` (`findings.load`) and `data_summary.json`. The summary is stored in the
    `assets.extra` of the model that is trained on these data: the drift of later data is measured against it.

    Args:
        live_model: the live model, with the summary of its training data; without it no drift is measured.
        curated: the user wrote the schema.
        tokenizer, preset: decide which texts are the same.
        digest: of the preset's tokenizer, see `components.preset_fingerprint`.
    """
    reading = {"tokenizer": (tokenizer or TokenizerConfig()).model_dump(include=READING_KEYS), "preset": preset}
    return DataGate(
        DataGateSpec(
            examples=examples,
            anomalies=anomalies,
            live_model=live_model,
            gate=gate.model_dump_json(),
            task=task.model_dump_json(include=_TASK_KEYS),
            curated=int(curated),
            reading=to_json(reading, sort_keys=True),
            preset=digest,
            code=fingerprint(__name__),
            blessing=types.Channel(type=DataBlessing),
        )
    )


class DataGateSpec(component_spec.ComponentSpec):
    PARAMETERS = {
        **dict.fromkeys(("gate", "task", "reading", "preset", "code"), component_spec.ExecutionParameter(type=str)),
        "curated": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        specs.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        specs.ANOMALIES_KEY: component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "live_model": component_spec.ChannelParameter(type=LiveModelArtifact, optional=True),
    }
    OUTPUTS = {"blessing": component_spec.ChannelParameter(type=DataBlessing)}


class Executor(base_executor.BaseExecutor):
    """Counts the examples once and applies the rules."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Writes `findings.json` and `data_summary.json`.

        Raises:
            GateError: with all findings of severity `error`.
        """
        task = TaskConfig.model_validate_json(exec_properties["task"])
        gate = GateConfig.model_validate_json(exec_properties["gate"])
        examples = artifact_utils.get_single_instance(input_dict[specs.EXAMPLES_KEY])
        anomalies = artifact_utils.get_single_instance(input_dict[specs.ANOMALIES_KEY])
        settings = json.loads(exec_properties["reading"])
        reading = load_text_reading(TokenizerConfig.model_validate(settings["tokenizer"]), settings["preset"])
        evidence = collect_evidence(examples, task, gate, reading)
        found = [
            finding
            for split in artifact_utils.decode_split_names(anomalies.split_names)
            for finding in anomaly_findings(
                load_anomalies(artifact_utils.get_split_uri([anomalies], split)),
                split,
                task=task,
                gate=gate,
                curated=bool(exec_properties["curated"]),
            )
        ]
        found += rules.apply(evidence)
        for live in input_dict.get("live_model", []):
            summary = drift.load_summary(live.uri)
            if summary is not None and gate.drift != "off":
                found += drift.find_drift(summary, evidence.train, gate)
        findings.raise_errors(found)
        for finding in found:
            USER_LOG.info("%s", finding.render(examples=1))
        folder = artifact_utils.get_single_uri(output_dict["blessing"])
        findings.save(found, folder)
        drift.save_summary(drift.summarize(evidence.train), folder)


def collect_evidence(
    examples: types.Artifact, task: TaskConfig, gate: GateConfig, reading: TextReading
) -> rules.Evidence:
    """The input of the rules, from one pass over all splits."""

    def read(split: str) -> Iterator[Record]:
        return (from_example(serialized, task) for serialized in read_split(examples, split))

    facts = {}
    for split in artifact_utils.decode_split_names(examples.split_names):
        facts[split] = SplitFacts(split, task, reading)
        for record in read(split):
            facts[split].add(record)
    return rules.Evidence(task, gate, facts, read)


class DataGate(base_component.BaseComponent):
    """See `data_gate`."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
