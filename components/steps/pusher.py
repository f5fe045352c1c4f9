"""Pusher: a blessed model becomes the newest version under the push folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import path_utils

from components.artifacts import BLESSED, VARIANT, VERDICT, DataBlessing, EdgeBundles
from components.data.gate.drift import SUMMARY_FILE
from components.evaluation.comparability import EXTRA_FOLDER
from components.fingerprint import fingerprint
from components.steps.live_model import live_version
from models.config import CONFIG_FILE
from models.errors import ModelError, PushError
from models.saved.model_identity import same_model
from serving.errors import PublishError
from serving.publish.version_folders import newest, prune, publish
from tflite.host import BUNDLE_FILE
from tflite.host.json_text import to_json
from tflite.host.manifest import Manifest
from tflite.measure.variant_choice import FILE_NAME as EDGE_REPORT

SAYS = logging.getLogger("transom")
FILE_NAME = "pushed.json"
ALREADY_LIVE = "nothing new: this very model was live already"
# What Trainer and the data gate put into each pushed model; other programs' models may lie beside them.
_OURS = (f"{EXTRA_FOLDER}/{CONFIG_FILE}", f"{EXTRA_FOLDER}/{SUMMARY_FILE}")


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        "directory": component_spec.ExecutionParameter(type=str),
        "edge_directory": component_spec.ExecutionParameter(type=str),
        "keep": component_spec.ExecutionParameter(type=int),
        "live_bundle": component_spec.ExecutionParameter(type=int),
        "live_version": component_spec.ExecutionParameter(type=int),
        "code": component_spec.ExecutionParameter(type=str),
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
    """Asks the blessing, pushes or not, and says so in the artifact as TFX's Pusher does."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExecutor.Do`. A model that is not blessed is no error here.

        Raises:
            PushError: the push failed; what was live before is still live.
        """
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        blessing = artifact_utils.get_single_instance(input_dict["model_blessing"])
        if not model_utils.is_model_blessed(blessing):
            _record(pushed, Push(0, blessing.get_string_custom_property("verdict") or "not blessed"))
            return
        for served in input_dict.get("serving_blessing", []):
            if not served.get_int_custom_property(BLESSED):
                _record(pushed, Push(0, served.get_string_custom_property(VERDICT) or "not served"))
                return
        source = Path(path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"])))
        about = Path(artifact_utils.get_single_uri(input_dict["data_blessing"]))
        extra = {f"{EXTRA_FOLDER}/{path.name}": path.read_bytes() for path in sorted(about.glob("*.json"))}
        base = Path(exec_properties["directory"])
        edge = _edge(input_dict)
        if edge is not None:
            extra[f"{EXTRA_FOLDER}/{EDGE_REPORT}"] = (edge.report / EDGE_REPORT).read_bytes()
        done = push(source, base, exec_properties["keep"], extra)
        if edge is not None and edge.variant:
            bundles = Path(exec_properties["edge_directory"])
            fresh = push_bundle(edge, bundles, done.version, exec_properties["keep"])
            how = f"{done.how}; its edge bundle is new" if fresh and not done.new else done.how
            done = replace(done, new=done.new or fresh, how=how, bundle=str(bundles / str(done.version)))
        _record(pushed, done, base)
        SAYS.info("version %d in %s: %s", done.version, base, done.how)


@dataclass(frozen=True)
class Push:
    """What came of a push.

    Attributes:
        version: what is live now; 0: the model was not blessed.
        how: what was done, or why not.
        new: something was put there that was not there before.
        bundle: the folder of the edge bundle; "" for none.
    """

    version: int
    how: str
    new: bool = False
    bundle: str = ""


@dataclass(frozen=True)
class Edge:
    """What the edge gate says.

    Attributes:
        bundles: what EdgeExporter made.
        report: the folder of the gate's report.
        variant: the chosen one; "" for none.
    """

    bundles: Path
    report: Path
    variant: str

    def manifest(self, version: int) -> Manifest:
        """The chosen bundle's, with what was measured and the number of the served model."""
        measured = json.loads((self.report / EDGE_REPORT).read_text(encoding="utf-8"))
        row = next(row for row in measured["variants"] if row["chosen"])
        manifest = Manifest.load(self.bundles / self.variant)
        more = {key: row[key] for key in ("parity", "cost", "latency_ratio")}
        return replace(manifest, report={**manifest.report, **more, "budget": measured["budget"], "version": version})


def _edge(input_dict: dict[str, list[types.Artifact]]) -> Edge | None:
    """What the edge gate says; None where there is no edge gate."""
    if not input_dict.get("edge_blessing"):
        return None
    blessing = artifact_utils.get_single_instance(input_dict["edge_blessing"])
    bundles = Path(artifact_utils.get_single_uri(input_dict["bundles"]))
    return Edge(bundles, Path(blessing.uri), blessing.get_string_custom_property(VARIANT))


def push_bundle(edge: Edge, base: Path, version: int, keep: int) -> bool:
    """Puts the chosen bundle beside the SavedModel, under the same number; see `push`.

    Returns:
        False where the very same bundle lay there already.

    Raises:
        PushError: it cannot be put there; the SavedModel is live all the same.
    """
    manifest = edge.manifest(version)
    try:
        fresh = not _same_bundle(base / str(version), manifest)
        if fresh:
            extra = {BUNDLE_FILE: manifest.to_json().encode()}
            publish(edge.bundles / edge.variant, base, extra, version=version, known_by=BUNDLE_FILE)
        prune(base, keep, [BUNDLE_FILE])
    except PublishError as error:
        raise PushError(
            f"version {version} of the model is live, its edge bundle is not: {error.what}",
            got=error.got,
            expected=error.expected,
            fix=error.fix or "mend this and run again",
        ) from error
    return fresh


def _same_bundle(folder: Path, manifest: Manifest) -> bool:
    """Whether the bundle in a folder has the same files, whatever was measured of it."""
    try:
        return Manifest.load(folder).sha256 == manifest.sha256
    except ModelError:
        return False


def push(source: Path, base: Path, keep: int, extra: Mapping[str, bytes]) -> Push:
    """Makes the model in `source` the newest version under `base`, and removes all but the `keep` newest.

    A model that is live already (`model_identity.same_model`) stays as it is: no server has to load it again.

    Args:
        source: the SavedModel.
        base: the push folder.
        keep: versions that stay.
        extra: what is stored with the version about its data: path within it to content.

    Raises:
        PushError: the model cannot be put there.
    """
    try:
        live = newest(base)
        if live is not None and same_model(source, base / str(live)):
            done = Push(live, ALREADY_LIVE)
        else:
            done = Push(publish(source, base, extra), "pushed", new=True)
    except PublishError as error:
        fix = error.fix or "what was live before is still live: mend this and run again"
        raise PushError(error.what, got=error.got, expected=error.expected, fix=fix) from error
    try:
        removed = prune(base, keep, _OURS)
    except PublishError as error:
        # The new model is live; that an old one stays is no reason to call the push a failure.
        return replace(done, how=f"{done.how}, but an older version stays: {error.what}, {error.got}")
    return replace(done, how=f"{done.how}; removed {', '.join(map(str, removed))}") if removed else done


def _record(pushed: types.Artifact, done: Push, base: Path | None = None) -> None:
    destination = str(base / str(done.version)) if base is not None else ""
    pushed.set_int_custom_property("pushed", int(done.version > 0))
    pushed.set_int_custom_property("new", int(done.new))
    pushed.set_string_custom_property("reason", done.how)
    if destination:
        pushed.set_string_custom_property("pushed_destination", destination)
        pushed.set_string_custom_property("pushed_version", str(done.version))
    if done.bundle:
        pushed.set_string_custom_property("pushed_bundle", done.bundle)
    said = {"pushed": done.version > 0, "new": done.new, "version": done.version, "destination": destination}
    said |= {"bundle": done.bundle, "reason": done.how}
    Path(pushed.uri, FILE_NAME).write_text(to_json(said, indent=1) + "\n", encoding="utf-8")


class Pusher(base_component.BaseComponent):
    """Pushes a blessed model to a folder that TF Serving watches.

    Output `pushed_model`: the properties `pushed` (1 where the model is live), `new` (1 where it, or its bundle, was
    not live before), `reason`; where it is live `pushed_destination` and `pushed_version`, and `pushed_bundle` where it
    has an edge bundle; the same in `pushed.json`.
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
        """`directory`, `keep`: see `components.config.PushConfig`. `version`: what is live, see `LiveModel`.

        `bundles`, `edge_blessing`, `edge_directory`: what EdgeExporter and EdgeGate gave, and where bundles go; a model
        without a blessed bundle is pushed without one.

        The JSON files of `data_blessing` are stored with the version, under `assets.extra`: the next run measures the
        drift of its data against them.
        The versions are part of the cache key: a model whose pushed version has been removed is pushed again.
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
