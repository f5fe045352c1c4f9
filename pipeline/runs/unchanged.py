"""Recognizes a run in which no step would do anything, in a second and without TensorFlow, TFX and Keras.

TFX's cache decides step by step, but only TFX can ask it, and loading it takes longer than all the rest of such a run.
So the end of a run records a digest of everything that any step depends on. It covers more than the cache's keys do:
the code of the whole project and the version of every installed package, not only those that a step uses. A run with
the same digest has the result of that run, while the same model is live and all artifacts of that run are; any other
run asks TFX.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from components.data.formats.files import contents_digest, find_files
from components.data.splits import sources
from components.evaluation.live.evaluation_reuse import with_reuse_note
from components.live_version import card_digest, live_version, version_digest
from models.config import PresetConfig
from models.errors import TransomError
from models.presets.preset_files import resolve_preset
from models.presets.preset_names import packaged_folder
from models.training.elsewhere.installed_packages import environment_key
from models.whole_writes import write_whole
from pipeline.config import ProjectConfig
from pipeline.paths import Paths
from pipeline.runs.run_records import ALREADY_LIVE, UNCHANGED, RunRecord, StepRecord, read_record
from pipeline.runs.store.live_artifacts import live_artifacts
from pipeline.runs.store.metadata_check import AGAIN
from tflite.host.json_text import to_json

FILE_NAME = "unchanged.json"
_PACKAGES = ("pipeline", "components", "models", "serving", "tflite")


def digest_inputs(config: ProjectConfig, paths: Paths) -> str | None:
    """A digest of everything that the steps of a run depend on, but for what is live; None if it cannot be known.

    It cannot if the preset is a hub's, whose files may change with any run, or if an input cannot be read: then a step
    will tell.
    """
    try:
        preset = _preset_folder(config, paths)
        if preset is None:
            return None
        digest = hashlib.blake2b(digest_size=16)
        for part in (*_settings(config, paths), *_code(), *_data(config, paths), *_files(preset)):
            digest.update(f"{len(part)} {part}\n".encode("utf-8", "surrogateescape"))
    except (OSError, TransomError):
        return None
    return digest.hexdigest()


def recall(inputs: str, paths: Paths, to_step: str | None = None) -> RunRecord | None:
    """The record of the run whose result a run with these inputs has; None if its steps must be asked."""
    try:
        stored = _stored(paths)[to_step or ""]
        if stored["inputs"] != inputs or stored["live"] != _live(paths):
            return None
        if not stored["artifacts"] or stored["artifacts"] != live_artifacts(paths, dict(stored["artifacts"])):
            return None
        former = read_record(paths.runs, stored["run"])
        return former if _is_complete(former, to_step) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, TransomError):
        return None


def repeat(former: RunRecord, record: RunRecord) -> None:
    """Completes the record of a run with the result of a former one."""
    kept = ("name", "started", "ended", "seconds", "config", "notes", "peak_memory_bytes", "steps", "repeats")
    for name, value in vars(former).items():
        if name not in kept:
            setattr(record, name, value)
    if former.pushed:
        notes = with_reuse_note(former.evaluation.get("notes", []), Path(former.pushed).name)
        record.evaluation = {**former.evaluation, "notes": notes}
    record.repeats, skipped = former.name, "skipped"
    record.steps = [StepRecord(one.name, skipped if one.status == skipped else "cached") for one in former.steps]
    record.status = former.status if former.status == "not blessed" else UNCHANGED


def remember(
    inputs: str | None,
    record: RunRecord,
    config: ProjectConfig,
    paths: Paths,
    artifacts: Iterable[int],
    to_step: str | None = None,
) -> None:
    """Records the inputs of a run that has ended, if a run with the same would repeat its result.

    Args:
        inputs: as they were before the run. If they have changed since, nobody knows which of them it has read.
        artifacts: the numbers of those that the run made or used.
        to_step: its last step, if that is not the pipeline's.
    """
    if inputs is None or not _is_complete(record, to_step) or digest_inputs(config, paths) != inputs:
        return
    with contextlib.suppress(OSError, TransomError):
        live = live_artifacts(paths, artifacts)
        content = {"inputs": inputs, "live": _live(paths), "run": record.name, "artifacts": live}
        write_whole(paths.output / FILE_NAME, to_json({**_stored(paths), to_step or "": content}, indent=1) + "\n")


def _stored(paths: Paths) -> dict[str, dict[str, Any]]:
    """What is remembered, by the last step of the run; "" for a whole one."""
    try:
        stored = json.loads((paths.output / FILE_NAME).read_text(encoding="utf-8"))
        return {str(key): dict(value) for key, value in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _is_complete(record: RunRecord, to_step: str | None) -> bool:
    """Whether all steps of a run ended, and the next would find the same.

    Against a model that this run has replaced, the next run measures no drift. And a gate that refused for a reason
    that may pass decides again.
    """
    ended = {"done", "cached"} | ({"skipped"} if to_step else set())
    if not record.steps or any(step.status not in ended for step in record.steps):
        return False
    if record.edge.get(AGAIN) or record.serving.get(AGAIN):
        return False
    if record.status == "not blessed":
        return record.step == "Evaluator"
    complete = ("pushed", ALREADY_LIVE, UNCHANGED, *(("finished",) if to_step else ()))
    return record.status in complete and all(one.get("rule") != "drift" for one in record.findings)


def _settings(config: ProjectConfig, paths: Paths) -> Iterator[str]:
    yield to_json(config.model_dump(mode="json"), sort_keys=True, ascii=True)
    yield from map(str, (paths.base, paths.root, paths.output, paths.push, paths.edge))
    if config.data.schema_path is not None:
        yield contents_digest([paths.base / config.data.schema_path])
    if config.train.backend != "tensorflow":
        yield environment_key(config.train.backend)


def _code() -> Iterator[str]:
    """The project's own files, and the installed packages with their versions."""
    yield sys.version
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        for root in (spec.submodule_search_locations or ()) if spec is not None else ():
            yield from _files(Path(root))
    for folder in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        yield from sorted(name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info")))


def _files(folder: Path) -> Iterator[str]:
    """Path and digest of each file in a folder, but for compiled ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = Path(place, name)
            yield f"{path} {contents_digest([path])}"


def _data(config: ProjectConfig, paths: Paths) -> Iterator[str]:
    for source in sources(config.data):
        found = find_files(source.patterns, paths.base, f"data.{source.key}")
        yield f"{source.key} {' '.join(map(str, found))} {contents_digest(found)}"


def _preset_folder(config: ProjectConfig, paths: Paths) -> Path | None:
    """The folder of the preset's files, an empty one's path if the model has no preset; None for a hub's."""
    if not isinstance(config.model, PresetConfig):
        return Path(os.devnull)
    preset = resolve_preset(config.model.preset, paths.base)
    folder = packaged_folder(preset) or Path(preset).expanduser()
    return folder if folder.is_dir() else None


def _live(paths: Paths) -> list[str]:
    """What is live: version and files of the model, and of the edge bundle."""
    found = []
    for folder in (paths.push, paths.edge):
        version = live_version(str(folder))
        live = folder / str(version)
        found += [str(version), version_digest(live) if version else "", card_digest(live)]
    return found
