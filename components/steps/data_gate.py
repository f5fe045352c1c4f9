"""DataGate: stops a run if no model can be trained on the data, or evaluated."""

from __future__ import annotations

import json
import logging
import shutil
from functools import partial
from pathlib import Path

from tfx import types
from tfx.types import artifact_utils, standard_artifacts

from components.artifacts import DataBlessing, LiveModelArtifact
from components.config import GateConfig
from components.data.gate import drift, findings, rules
from components.data.gate.anomalies import anomaly_findings, load_anomalies
from components.data.gate.counts import SplitFacts
from components.data.gate.data_facts import describe_data, save_data
from components.data.text_keys import READING_KEYS, TextReading, load_text_reading
from components.gathered import Gatherer
from components.lineage.table_facts import TABLES_FILE
from components.tf_examples import file_sizes, from_examples, read_batches, read_row_batches, row_count, split_files
from components.tfx_step import BeamStepExecutor, Step, StepRun
from models.config import TaskConfig, TokenizerConfig
from tflite.host.json_text import to_json

USER_LOG = logging.getLogger("transom")
_TASK_KEYS = {"type", "text", "text_pair", "label", "labels", "label_separator"}


class Executor(BeamStepExecutor):
    """Counts the examples once, with Beam, and applies the rules."""

    def run(self, step: StepRun) -> None:
        """Writes `findings.json`, `data.json` and `data_summary.json`, and copies `tables.json` from the examples.

        Raises:
            GateError: with all findings of severity `error`; they and the data's description go with it.
        """
        task, gate = step.config("task", TaskConfig), step.config("gate", GateConfig)
        settings = json.loads(step.parameters["reading"])
        reading = load_text_reading(TokenizerConfig.model_validate(settings["tokenizer"]), settings["preset"])
        examples = step.artifact("examples")
        facts = count_examples(examples, task, reading, self.gatherer)
        evidence = rules.Evidence(task, gate, facts, lambda split: read_row_batches(examples, split, task))
        found: list[findings.Finding] = []
        for split in step.splits("anomalies"):
            anomalies = load_anomalies(artifact_utils.get_split_uri(step.artifacts["anomalies"], split))
            curated = bool(step.parameters["curated"])
            found += anomaly_findings(anomalies, split, task=task, gate=gate, curated=curated)
        found += rules.apply(evidence)
        live = step.optional("live_model")
        summary = None if live is None else drift.load_summary(live.uri)
        if summary is not None and gate.drift != "off":
            found += drift.find_drift(summary, evidence.train, gate)
        described = describe_data(facts, summary, live.version if live is not None else 0)
        findings.raise_errors(found, described)
        for finding in found:
            USER_LOG.info("%s", finding.render(examples=1))
        folder = str(step.folder("blessing"))
        findings.save(found, folder)
        save_data(described, folder)
        drift.save_summary(drift.summarize(evidence.train), folder)
        tables = Path(examples.uri, TABLES_FILE)
        if tables.is_file():  # not of examples that something else has made
            shutil.copyfile(tables, Path(folder, TABLES_FILE))


def count_examples(
    examples: types.Artifact, task: TaskConfig, reading: TextReading, gatherer: Gatherer
) -> dict[str, SplitFacts]:
    """The counts of each split, from one pass over all of them."""
    facts = {
        split: SplitFacts(split, task, reading) for split in artifact_utils.decode_split_names(examples.split_names)
    }
    files = [(split, file) for split in facts for file in split_files(examples, split)]
    count, sizes = partial(_count_file, task=task, reading=reading), file_sizes(path for _, path in files)
    for part in gatherer.gather(files, count, sizes, row_count(examples, facts)):
        facts[part.name].merge(part)
    return facts


def _count_file(file: tuple[str, str], task: TaskConfig, reading: TextReading) -> SplitFacts:
    split, path = file
    facts = SplitFacts(split, task, reading)
    for batch in read_batches([path]):
        facts.add(from_examples(batch, task))
    return facts


class DataGate(Step, executor=Executor):
    """The component with the output `blessing` (`DataBlessing`), which exists only where the data may pass.

    The blessing's folder holds `findings.json` (`findings.load`), `data.json` for the report, `data_summary.json` and
    `tables.json`. The summary is stored in the `assets.extra` of the model that is trained on these data: the drift of
    later data is measured against it. The tables become a part of the model's lineage.
    """

    INPUTS = {"examples": standard_artifacts.Examples, "anomalies": standard_artifacts.ExampleAnomalies}
    OPTIONAL_INPUTS = {"live_model": LiveModelArtifact}
    OUTPUTS = {"blessing": DataBlessing}
    PARAMETERS = {"gate": str, "task": str, "reading": str, "preset": str, "curated": int}

    def __init__(
        self,
        examples: types.BaseChannel,
        anomalies: types.BaseChannel,
        live_model: types.BaseChannel | None = None,
        *,
        gate: GateConfig,
        task: TaskConfig,
        curated: bool = False,
        tokenizer: TokenizerConfig | None = None,
        preset: str | None = None,
        digest: str = "",
    ) -> None:
        """`live_model`: with the summary of its training data; without it no drift is measured.

        Args:
            curated: the user wrote the schema.
            tokenizer, preset: decide which texts are the same.
            digest: of the preset's tokenizer, see `components.preset_fingerprint`.
        """
        reading = {"tokenizer": (tokenizer or TokenizerConfig()).model_dump(include=READING_KEYS), "preset": preset}
        super().__init__(
            examples=examples,
            anomalies=anomalies,
            live_model=live_model,
            gate=gate.model_dump_json(),
            task=task.model_dump_json(include=_TASK_KEYS),
            curated=int(curated),
            reading=to_json(reading, sort_keys=True),
            preset=digest,
        )
