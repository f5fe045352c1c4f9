"""Pushes a model, and its edge bundle, to the folders from which they are served; the step Pusher calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from components.data.gate.drift import SUMMARY_FILE
from components.report_files import EDGE_FILE
from models.config import CONFIG_FILE
from models.errors import ModelError, PushError, os_errors_as
from models.saved.model_identity import same_model
from models.saved.model_locations import CARD_FILE, EXTRA_FOLDER, LINEAGE_FILE
from models.whole_writes import write_whole
from serving.errors import PublishError
from serving.publish.version_folders import newest, prune, publish
from tflite.bundle.bundle_folder import README_FILE
from tflite.host import BUNDLE_FILE
from tflite.host.manifest import Manifest

ALREADY_LIVE = "nothing new: this model was live already"
_FIX = "let this user write into the folder, or free some room, and run again"
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
class Papers:
    """What tells others about a model, beside it and beside its edge bundle. It is no part of what either computes.

    Attributes:
        lineage: the content of `lineage.json`, by the number of the version that was live before (0: none).
        card: the content of `README.md`, by that of `lineage.json`, and by the bundle's own `README.md` if it is for
            the bundle; None if it cannot be written.
        renewed: a card, with what people have said about the model meanwhile.
    """

    lineage: Callable[[int], bytes]
    card: Callable[[bytes, str | None], bytes | None]
    renewed: Callable[[str], str]

    def files(self, lineage: bytes, guide: str | None = None) -> dict[str, bytes]:
        """The files by their names."""
        card = self.card(lineage, guide)
        return {LINEAGE_FILE: lineage} | ({CARD_FILE: card} if card is not None else {})

    def renew(self, folder: Path) -> None:
        """Writes into a card what people have said meanwhile. An earlier version of Transom pushed without a card.

        Raises:
            PushError: it cannot be written; the former one is still there.
        """
        target = folder / CARD_FILE
        with os_errors_as(PushError, f"the model card {target} cannot be renewed; the model stays live", fix=_FIX):
            text = target.read_text(encoding="utf-8", errors="surrogateescape") if target.is_file() else ""
            if (renewed := self.renewed(text)) != text:
                write_whole(target, renewed)


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
        return self.report_folder / EDGE_FILE

    @property
    def guide(self) -> str:
        """How the chosen bundle is used, Markdown."""
        file = self.bundles / self.variant / README_FILE
        return file.read_text(encoding="utf-8") if file.is_file() else ""

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
    papers: Papers | None = None,
) -> PushResult:
    """Pushes a model, with the edge gate's report if there is one, and then the chosen bundle; see `push`."""
    if edge is not None:
        extra_files = {**extra_files, f"{EXTRA_FOLDER}/{EDGE_FILE}": edge.report_file.read_bytes()}
    result = push(source, directory, keep, extra_files, papers)
    if edge is None or not edge.variant:
        return result

    def beside() -> dict[str, bytes]:
        told = directory / str(result.version) / EXTRA_FOLDER / LINEAGE_FILE
        return papers.files(told.read_bytes(), edge.guide) if papers is not None and told.is_file() else {}

    new = _push_bundle(edge, edge_directory, result.version, keep, beside)
    reason = f"{result.reason}; its edge bundle is new" if new and not result.new else result.reason
    if papers is not None and not new:
        papers.renew(edge_directory / str(result.version))
    return replace(result, new=result.new or new, reason=reason, bundle=str(edge_directory / str(result.version)))


def push(
    source: Path, directory: Path, keep: int, extra_files: Mapping[str, bytes], papers: Papers | None = None
) -> PushResult:
    """Makes the model in `source` the newest version under `directory`, and removes all but the `keep` newest.

    If the model is live already (`model_identity.same_model`), nothing is written, and no server has to reload it.

    Args:
        source: the SavedModel.
        directory: the push folder.
        extra_files: path within the version to the content to store there.
        papers: further ones, made for a new version only.

    Raises:
        PushError: the push failed; the version that was live before is still live.
    """
    try:
        live = newest(directory)
        if live is not None and same_model(source, directory / str(live)):
            if papers is not None:
                papers.renew(directory / str(live) / EXTRA_FOLDER)
            result = PushResult(live, ALREADY_LIVE)
        else:
            if papers is not None:
                made = papers.files(papers.lineage(live or 0))
                extra_files = {**extra_files, **{f"{EXTRA_FOLDER}/{name}": content for name, content in made.items()}}
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


def _push_bundle(
    edge: EdgeChoice, directory: Path, version: int, keep: int, beside: Callable[[], Mapping[str, bytes]]
) -> bool:
    """Pushes the chosen bundle under the number of the SavedModel, and removes all but the `keep` newest bundles.

    `beside`: names and contents of files that are no part of the bundle's identity; asked for a new bundle only.

    Returns:
        False if the same bundle was there already.

    Raises:
        PushError: the push failed; the SavedModel is live nevertheless.
    """
    manifest = edge.manifest(version)
    try:
        new = not _is_same_bundle(directory / str(version), manifest)
        if new:
            extra_files = {BUNDLE_FILE: manifest.to_json().encode(), **beside()}
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
