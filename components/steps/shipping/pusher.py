"""Pusher: a blessed model becomes the newest version under the push folder."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path

from tfx import types
from tfx.components.util import model_utils
from tfx.types import standard_artifacts, system_executions

from components.artifacts import BLESSED, VARIANT, VERDICT, DataBlessing, EdgeBundles
from components.config import CardConfig
from components.lineage.lineage_record import write_lineage
from components.lineage.table_facts import TABLES_FILE
from components.live_version import card_digest, live_version, version_digest
from components.push import EdgeChoice, Papers, PushResult, push_with_bundle
from components.report.card.card_words import renewed
from components.report.card.model_card import model_card
from components.report.step_reports import StepReport, facts_of_steps
from components.tfx_step import Step, StepExecutor, StepRun
from models.saved.model_locations import EXTRA_FOLDER
from tflite.host.json_text import to_json

USER_LOG = logging.getLogger("transom")
FILE_NAME = "pushed.json"


class Executor(StepExecutor):
    """Pushes the model if it is blessed, and records the result in the artifact as TFX's Pusher does."""

    def run(self, step: StepRun) -> None:
        """A model that is not blessed is not an error here.

        Raises:
            PushError: the push failed; the version that was live before is still live.
        """
        pushed, blessing = step.artifact("pushed_model"), step.artifact("model_blessing")
        served = step.optional("serving_blessing")
        if not model_utils.is_model_blessed(blessing):
            _record(pushed, PushResult(0, blessing.get_string_custom_property("verdict") or "not blessed"))
            return
        if served is not None and not served.get_int_custom_property(BLESSED):
            _record(pushed, PushResult(0, served.get_string_custom_property(VERDICT) or "not served"))
            return
        edge = step.optional("edge_blessing")
        if edge is not None:
            variant = edge.get_string_custom_property(VARIANT)
            edge = EdgeChoice(step.folder("bundles"), step.folder("edge_blessing"), variant)
        blessed_data = step.folder("data_blessing")
        data_reports = [path for path in sorted(blessed_data.glob("*.json")) if path.name != TABLES_FILE]
        directory = Path(step.parameters["directory"])
        result = push_with_bundle(
            step.model_folder,
            directory,
            step.parameters["keep"],
            {f"{EXTRA_FOLDER}/{path.name}": path.read_bytes() for path in data_reports},
            edge,
            Path(step.parameters["edge_directory"]),
            _papers(step, blessed_data),
        )
        _record(pushed, result, directory)
        USER_LOG.info("version %d in %s: %s", result.version, directory, result.reason)


def _papers(step: StepRun, blessed_data: Path) -> Papers:
    said = json.loads(step.parameters["card"])

    def folder_of(report: StepReport) -> Path | None:
        if report.key == "model_run":  # the exported model has the Trainer's report, too
            return step.model_folder / EXTRA_FOLDER
        return step.optional_folder(report.key)

    def card(lineage: bytes, guide: str | None) -> bytes | None:
        """From the reports of the steps before. A model is pushed even if its card cannot be written."""
        try:
            told = json.loads(lineage)
            facts = facts_of_steps(folder_of, {**told["config"], "card": said}, lineage=told, status="pushed")
            return model_card(facts, guide).encode()
        except Exception as error:  # noqa: BLE001
            USER_LOG.warning("no model card: %s: %s", type(error).__name__, error)
            return None

    return Papers(partial(write_lineage, step.model_folder, blessed_data), card, lambda text: renewed(text, said))


def _record(pushed: types.Artifact, result: PushResult, directory: Path | None = None) -> None:
    destination = str(directory / str(result.version)) if directory is not None else ""
    pushed.set_int_custom_property("pushed", int(result.version > 0))
    pushed.set_int_custom_property("new", int(result.new))
    pushed.set_string_custom_property("reason", result.reason)
    if destination:
        pushed.set_string_custom_property("pushed_destination", destination)
        pushed.set_string_custom_property("pushed_version", str(result.version))
    if result.bundle:
        pushed.set_string_custom_property("pushed_bundle", result.bundle)
    report = {"pushed": result.version > 0, "new": result.new, "version": result.version, "destination": destination}
    report |= {"bundle": result.bundle, "reason": result.reason}
    Path(pushed.uri, FILE_NAME).write_text(to_json(report, indent=1) + "\n", encoding="utf-8")


class Pusher(Step, executor=Executor):
    """Pushes a blessed model to a folder that TF Serving watches.

    Output `pushed_model`: the properties `pushed` (1 if the model is live), `new` (1 if it, or its bundle, was not
    live before) and `reason`; if it is live, also `pushed_destination` and `pushed_version`, and `pushed_bundle` if it
    has an edge bundle. `pushed.json` holds the same.
    """

    INPUTS = {
        "model": standard_artifacts.Model,
        "model_blessing": standard_artifacts.ModelBlessing,
        "data_blessing": DataBlessing,
    }
    OPTIONAL_INPUTS = {
        "evaluation": standard_artifacts.ModelEvaluation,
        "serving_blessing": standard_artifacts.InfraBlessing,
        "bundles": EdgeBundles,
        "edge_blessing": standard_artifacts.InfraBlessing,
    }
    OUTPUTS = {"pushed_model": standard_artifacts.PushedModel}
    PARAMETERS = {
        "directory": str,
        "edge_directory": str,
        "keep": int,
        "live_bundle": str,
        "live_version": int,
        "live_cards": str,
        "card": str,
    }
    TYPE_ANNOTATION = system_executions.Deploy

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        data_blessing: types.BaseChannel,
        evaluation: types.BaseChannel | None = None,
        serving_blessing: types.BaseChannel | None = None,
        bundles: types.BaseChannel | None = None,
        edge_blessing: types.BaseChannel | None = None,
        *,
        directory: str,
        edge_directory: str = "",
        keep: int,
        card: CardConfig = CardConfig(),  # noqa: B008
        version: int | None = None,
    ) -> None:
        """`directory`, `keep`: see `components.config.PushConfig`. `version`: the live version, see `LiveModel`.

        `bundles`, `edge_blessing`: the outputs of EdgeExporter and EdgeGate. `edge_directory`: the push folder of
        bundles. A model without a blessed bundle is pushed without one.

        The JSON files of `data_blessing` are stored with the version, under `assets.extra`: the next run measures the
        drift of its data against them. So is `lineage.json`, which a version keeps as long as it is live, and the model
        card, `README.md`, which is brought up to date. `evaluation`: the Evaluator's, for the card; `card`: what only
        people know.
        What is live is part of the cache key, so a model whose pushed version has been removed is pushed again, and so
        is a bundle that is damaged; and a card that says something else is renewed.
        """
        super().__init__(
            model=model,
            model_blessing=model_blessing,
            data_blessing=data_blessing,
            evaluation=evaluation,
            serving_blessing=serving_blessing,
            bundles=bundles,
            edge_blessing=edge_blessing,
            directory=directory,
            edge_directory=edge_directory,
            keep=keep,
            card=card.model_dump_json(),
            live_version=live_version(directory) if version is None else version,
            live_bundle=_live_bundle(edge_directory) if version is None and edge_directory else "",
            live_cards=_live_cards(directory, edge_directory) if version is None else "",
        )


def _live_bundle(directory: str) -> str:
    """The newest bundle's version and a digest of its files; "" if there is none."""
    version = live_version(directory)
    return f"{version} {version_digest(Path(directory, str(version)))}" if version else ""


def _live_cards(*directories: str) -> str:
    """Digests of the cards of the newest versions."""
    folders = [Path(directory, str(live_version(directory))) for directory in directories if directory]
    return " ".join(map(card_digest, folders))
