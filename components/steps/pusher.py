"""Pusher: a blessed model becomes the newest version under the push folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import path_utils

from components.artifacts import BLESSED, VARIANT, VERDICT, Artifacts, DataBlessing, EdgeBundles
from components.evaluation.live_baseline import EXTRA_FOLDER
from components.fingerprint import fingerprint
from components.live_version import live_version
from components.push import EdgeChoice, PushResult, push_with_bundle
from tflite.host.json_text import to_json

USER_LOG = logging.getLogger("transom")
FILE_NAME = "pushed.json"


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        **dict.fromkeys(("directory", "edge_directory", "code"), component_spec.ExecutionParameter(type=str)),
        **dict.fromkeys(("keep", "live_bundle", "live_version"), component_spec.ExecutionParameter(type=int)),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "data_blessing": component_spec.ChannelParameter(type=DataBlessing),
        "serving_blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing, optional=True),
        "bundles": component_spec.ChannelParameter(type=EdgeBundles, optional=True),
        "edge_blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing, optional=True),
    }
    OUTPUTS = {"pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel)}
    TYPE_ANNOTATION = standard_component_specs.PusherSpec.TYPE_ANNOTATION


class Executor(base_executor.BaseExecutor):
    """Pushes the model if it is blessed, and records the result in the artifact as TFX's Pusher does."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """See TFX's `BaseExecutor.Do`. A model that is not blessed is not an error here.

        Raises:
            PushError: the push failed; the version that was live before is still live.
        """
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
        if not model_utils.is_model_blessed(blessing):
            _record(pushed, PushResult(0, blessing.get_string_custom_property("verdict") or "not blessed"))
            return
        for served in input_dict.get("serving_blessing", []):
            if not served.get_int_custom_property(BLESSED):
                _record(pushed, PushResult(0, served.get_string_custom_property(VERDICT) or "not served"))
                return
        data_reports = Path(artifact_utils.get_single_uri(input_dict["data_blessing"])).glob("*.json")
        directory = Path(exec_properties["directory"])
        result = push_with_bundle(
            Path(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))),
            directory,
            exec_properties["keep"],
            {f"{EXTRA_FOLDER}/{path.name}": path.read_bytes() for path in sorted(data_reports)},
            _edge_choice(input_dict),
            Path(exec_properties["edge_directory"]),
        )
        _record(pushed, result, directory)
        USER_LOG.info("version %d in %s: %s", result.version, directory, result.reason)


def _edge_choice(input_dict: Artifacts) -> EdgeChoice | None:
    """The edge gate's choice; None if there is no edge gate."""
    if not input_dict.get("edge_blessing"):
        return None
    blessing = artifact_utils.get_single_instance(input_dict["edge_blessing"])
    bundles = Path(artifact_utils.get_single_uri(input_dict["bundles"]))
    return EdgeChoice(bundles, Path(blessing.uri), blessing.get_string_custom_property(VARIANT))


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


class Pusher(base_component.BaseComponent):
    """Pushes a blessed model to a folder that TF Serving watches.

    Output `pushed_model`: the properties `pushed` (1 if the model is live), `new` (1 if it, or its bundle, was not
    live before) and `reason`; if it is live, also `pushed_destination` and `pushed_version`, and `pushed_bundle` if it
    has an edge bundle. `pushed.json` holds the same.
    """

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        data_blessing: types.BaseChannel,
        serving_blessing: types.BaseChannel | None = None,
        bundles: types.BaseChannel | None = None,
        edge_blessing: types.BaseChannel | None = None,
        *,
        directory: str,
        edge_directory: str = "",
        keep: int,
        version: int | None = None,
    ) -> None:
        """`directory`, `keep`: see `components.config.PushConfig`. `version`: the live version, see `LiveModel`.

        `bundles`, `edge_blessing`: the outputs of EdgeExporter and EdgeGate. `edge_directory`: the push folder of
        bundles. A model without a blessed bundle is pushed without one.

        The JSON files of `data_blessing` are stored with the version, under `assets.extra`: the next run measures the
        drift of its data against them.
        The versions are part of the cache key, so a model whose pushed version has been removed is pushed again.
        """
        super().__init__(
            spec=_Spec(
                model=model,
                model_blessing=model_blessing,
                data_blessing=data_blessing,
                serving_blessing=serving_blessing,
                bundles=bundles,
                edge_blessing=edge_blessing,
                directory=directory,
                edge_directory=edge_directory,
                keep=keep,
                live_version=live_version(directory) if version is None else version,
                live_bundle=live_version(edge_directory) if version is None and edge_directory else version or 0,
                code=fingerprint(__name__),
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
