"""`transom compile`: a configuration becomes a Kubeflow pipeline's YAML; `--verify` runs that file."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from models.errors import ConfigError, ModelError
from models.runtime import prepare
from pipeline.config import ProjectConfig
from pipeline.console import silence
from pipeline.kubeflow import documents
from pipeline.kubeflow.checks import check, check_size
from pipeline.kubeflow.image import write_dockerfile
from pipeline.kubeflow.places import paths_on_cluster
from pipeline.kubeflow.verify import Artifacts, Backend
from pipeline.loading import load
from pipeline.paths import Paths
from pipeline.steps import STEPS


def run(options: argparse.Namespace) -> int:
    """Compiles, and verifies where that is asked for; see `transom compile --help`.

    Raises:
        ConfigError: the configuration cannot run on the target.
        TransomError: a step failed while the file was verified.
    """
    if options.dockerfile is not None:
        for line in write_dockerfile(options.dockerfile, options.image):
            print(line)
        return 0
    config = load(options.config, options.set)
    mounts = _given_mounts(options.mount)
    image = check(config, options.target, options.image, STEPS)
    paths = paths_on_cluster(config, options.config, options.target)
    with contextlib.nullcontext() if options.verbose else silence():
        spec, platform = _compile(config, paths, image, options.target)
    if options.platform is None:
        files = {options.out: documents.dump(spec, platform)}
    else:
        files = {options.out: documents.dump(spec), options.platform: documents.dump(platform)}
    check_size(spec, "".join(files.values()))
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    if options.verify:
        _verify(options, config, paths, mounts)
    return 0


def _compile(config: ProjectConfig, paths: Paths, image: str, target: str) -> tuple[dict[str, Any], dict[str, Any]]:
    prepare(config.train.onednn)
    sys.argv = sys.argv[:1]  # TFX hands it to absl's flags, which know nothing of ours
    from pipeline import graph
    from pipeline.kubeflow.platform import platform_document
    from pipeline.kubeflow.spec import compile_spec

    pipeline = graph.build(config, paths)
    spec = compile_spec(pipeline, config.kubeflow, image, target=target, onednn=config.train.onednn)
    steps = [node.id for node in pipeline.components]
    return spec, platform_document(config.kubeflow, steps) if target == "kubeflow" else {}


def _given_mounts(given: list[str]) -> dict[str, Path]:
    found = {}
    for one in given:
        container, separator, local = one.partition("=")
        if not separator or not container.startswith("/") or not Path(local).is_dir():
            raise ConfigError("--mount", got=one, expected="CONTAINER_PATH=FOLDER, a folder of this machine")
        found[container.rstrip("/")] = Path(local).resolve()
    return found


def _verify(options: argparse.Namespace, config: ProjectConfig, paths: Paths, given: dict[str, Path]) -> None:
    begin = time.monotonic()
    work = options.work.resolve() if options.work else Path(tempfile.mkdtemp(prefix="transom-verify-"))
    mounts = _local_mounts(config, paths, work) | given
    for folder in mounts.values():
        folder.mkdir(parents=True, exist_ok=True)
    backend = Backend(documents.read(options.out, options.platform), mounts, work, print)
    # A retried or repeated verification must not find an earlier one's models live.
    for pushed in (paths.push, paths.edge):
        shutil.rmtree(mounts[str(pushed)], ignore_errors=True)
    first, second = backend.run("run-1"), backend.run("run-2")
    summary = backend.folder(second["Evaluator"]["evaluation"]) / "summary.json"
    _conclude(first, second, json.loads(summary.read_text(encoding="utf-8")))
    print(f"verified: every step ran, twice, in {time.monotonic() - begin:.0f} s")
    if options.work is None:
        shutil.rmtree(work, ignore_errors=True)


def _local_mounts(config: ProjectConfig, paths: Paths, work: Path) -> dict[str, Path]:
    """Folders of this machine in place of the containers': the configuration's own, and empty ones."""
    mounts = {mount.path: work / "mounts" / mount.claim for mount in config.kubeflow.mounts}
    mounts[str(paths.elsewhere)] = paths.base
    if config.model.type == "preset" and paths.preset is not None:
        mounts[str(paths.preset)] = (paths.base / config.model.preset).resolve()
    places = {"output": paths.output, "push": paths.push, "edge": paths.edge}
    return mounts | {str(path): work / name for name, path in places.items()}


def _conclude(first: Artifacts, second: Artifacts, evaluation: dict[str, Any]) -> None:
    """Says what was pushed, and holds the second run and its evaluation to have found it."""
    pushed = first["Pusher"]["pushed_model"]["metadata"]
    live = int(second["LiveModel"]["live_model"]["metadata"].get("version", 0))
    version = int(pushed.get("pushed_version") or 0)
    # An evaluation compares with no version where what is live is the same model, or is not comparable.
    if live != version or evaluation["live_version"] not in (0, version):
        got = f"version {live}, and in the evaluation {evaluation['live_version']}"
        raise ModelError("the second run's live model", got=got, expected=f"the first's, {version}")
    if version:
        compared = "measured against it" if evaluation.get("baseline") else "not comparable"
        if not int(second["Pusher"]["pushed_model"]["metadata"].get("new") or 0):
            compared = "trained the same model again: nothing new was pushed"
        print(f"run-1 pushed version {version}; run-2 found it live and {compared}")
    else:
        print(f"run-1 pushed nothing: {pushed.get('reason', 'not blessed')}")
