"""Pushes a model, and its edge bundle, to the folders from which they are served; the step Pusher calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components.data.gate.drift import SUMMARY_FILE
from models.config import CONFIG_FILE
from models.errors import ModelError, PushError
from models.saved.model_identity import same_model
from models.saved.model_locations import EXTRA_FOLDER, LINEAGE_FILE
from serving.errors import PublishError
from serving.publish.version_folders import newest, prune, publish
from tflite.host import BUNDLE_FILE
from tflite.host.manifest import Manifest
from tflite.measure.variant_choice import FILE_NAME as EDGE_REPORT_FILE

Lineage = Callable[[int], bytes]
ALREADY_LIVE = "nothing new: this model was live already"
# Trainer and DataGate put these into each pushed model. Models of other programs may be in the same folder.
_TRANSOM_FILES = (f"{EXTRA_FOLDER}/{CONFIG_FILE}", f"{EXTRA_FOLDER}/{SUMMARY_FILE}")


@dataclass(frozen=True)
class PushResult:
    """The result of a push.

    Attributes:
        version: the version that is live now; 0: the model was not blessed.
        reason: what was done, or why nothing was.
        new: the model or its bundle was not live before.
        bundle: the folder of the edge bundle; "" for none.
    """

    version: int
    reason: str
    new: bool = False
    bundle: str = ""


@dataclass(frozen=True)
class EdgeChoice:
    """The edge gate's choice.

    Attributes:
        bundles: EdgeExporter's folder.
        report_folder: the folder of the gate's report.
        variant: the chosen variant; "" for none.
    """

    bundles: Path
    report_folder: Path
    variant: str

    @property
    def report_file(self) -> Path:
        return self.report_folder / EDGE_REPORT_FILE

    def manifest(self, version: int) -> Manifest:
        """The chosen bundle's manifest, with the gate's measurements and the served model's version."""
        report = json.loads(self.report_file.read_text(encoding="utf-8"))
        row = next(row for row in report["variants"] if row["chosen"])
        manifest = Manifest.load(self.bundles / self.variant)
        measurements = {key: row[key] for key in ("parity", "cost", "latency_ratio")}
        return replace(
            manifest, report={**manifest.report, **measurements, "budget": report["budget"], "version": version}
        )


def push_with_bundle(
    source: Path,
    directory: Path,
    keep: int,
    extra_files: Mapping[str, bytes],
    edge: EdgeChoice | None,
    edge_directory: Path,
    lineage: Lineage | None = None,
) -> PushResult:
    """Pushes a model, with the edge gate's report if there is one, and then the chosen bundle; see `push`."""
    if edge is not None:
        extra_files = {**extra_files, f"{EXTRA_FOLDER}/{EDGE_REPORT_FILE}": edge.report_file.read_bytes()}
    result = push(source, directory, keep, extra_files, lineage)
    if edge is None or not edge.variant:
        return result
    told = directory / str(result.version) / EXTRA_FOLDER / LINEAGE_FILE
    lineage_file = {LINEAGE_FILE: told.read_bytes()} if told.is_file() else {}
    new = _push_bundle(edge, edge_directory, result.version, keep, lineage_file)
    reason = f"{result.reason}; its edge bundle is new" if new and not result.new else result.reason
    return replace(result, new=result.new or new, reason=reason, bundle=str(edge_directory / str(result.version)))


def push(
    source: Path, directory: Path, keep: int, extra_files: Mapping[str, bytes], lineage: Lineage | None = None
) -> PushResult:
    """Makes the model in `source` the newest version under `directory`, and removes all but the `keep` newest.

    If the model is live already (`model_identity.same_model`), nothing is written, and no server has to reload it.

    Args:
        source: the SavedModel.
        directory: the push folder.
        extra_files: path within the version to the content to store there.
        lineage: the content of `lineage.json`, by the number of the version that was live before (0: none).

    Raises:
        PushError: the push failed; the version that was live before is still live.
    """
    try:
        live = newest(directory)
        if live is not None and same_model(source, directory / str(live)):
            result = PushResult(live, ALREADY_LIVE)
        else:
            if lineage is not None:
                extra_files = {**extra_files, f"{EXTRA_FOLDER}/{LINEAGE_FILE}": lineage(live or 0)}
            result = PushResult(publish(source, directory, extra_files), "pushed", new=True)
    except PublishError as error:
        fix = error.fix or "correct this and run again; the previous version is still live"
        raise PushError(error.what, got=error.got, expected=error.expected, fix=fix) from error
    try:
        removed = prune(directory, keep, _TRANSOM_FILES)
    except PublishError as error:
        # The new model is live: an old version that cannot be removed does not make the push a failure.
        kept = f"but an older version could not be removed: {error.what}, {error.got}"
        return replace(result, reason=f"{result.reason}, {kept}")
    return replace(result, reason=f"{result.reason}; removed {', '.join(map(str, removed))}") if removed else result


def _push_bundle(edge: EdgeChoice, directory: Path, version: int, keep: int, lineage_file: Mapping[str, bytes]) -> bool:
    """Pushes the chosen bundle under the number of the SavedModel, and removes all but the `keep` newest bundles.

    `lineage_file`: its name and content, that of the SavedModel; none if that has none. It is no part of the bundle's
    identity.

    Returns:
        False if the same bundle was there already.

    Raises:
        PushError: the push failed; the SavedModel is live nevertheless.
    """
    manifest = edge.manifest(version)
    try:
        new = not _is_same_bundle(directory / str(version), manifest)
        if new:
            extra_files = {BUNDLE_FILE: manifest.to_json().encode(), **lineage_file}
            publish(edge.bundles / edge.variant, directory, extra_files, version=version, known_by=BUNDLE_FILE)
        prune(directory, keep, [BUNDLE_FILE])
    except PublishError as error:
        raise PushError(
            f"version {version} of the model is live, but its edge bundle is not: {error.what}",
            got=error.got,
            expected=error.expected,
            fix=error.fix or "correct this and run again",
        ) from error
    return new


def _is_same_bundle(folder: Path, manifest: Manifest) -> bool:
    """Whether the bundle in a folder has the same files, undamaged; measurements may differ."""
    try:
        found = Manifest.load(folder)
        found.check_files(folder)
        return found.sha256 == manifest.sha256
    except ModelError:
        return False
