"""`transom compile`: writes a Kubeflow pipeline's YAML from a configuration; `--verify` runs that file."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.report_files import EVALUATION_FILE
from models.errors import ConfigError, ModelError, TransomError, os_errors_as
from models.runtime import prepare
from pipeline.config import ProjectConfig
from pipeline.configuration.loading import load
from pipeline.kubeflow import pipeline_yaml
from pipeline.kubeflow.cluster_paths import paths_on_cluster
from pipeline.kubeflow.image import write_dockerfile
from pipeline.kubeflow.local_backend import Artifacts, LocalBackend
from pipeline.kubeflow.target_checks import check, check_size
from pipeline.paths import Paths
from pipeline.preflight_beam import check_beam
from pipeline.runs.temporary_folders import keep, scratch_folder
from pipeline.steps import CLUSTER_STEPS
from pipeline.terminal.user_messages import silence


def run(options: argparse.Namespace) -> int:
    """Compiles, and with --verify runs the result; see `transom compile --help`.

    Raises:
        ConfigError: the configuration cannot run on the target.
        TransomError: a step failed during --verify.
    """
    if options.dockerfile is not None:
        for line in write_dockerfile(options.dockerfile, options.image):
            print(line)
        return 0
    _check_targets(options.out, options.platform)
    config = load(options.config, options.set)
    mounts = _parse_mounts(options.mount)
    image = check(config, options.target, options.image, CLUSTER_STEPS)
    paths = paths_on_cluster(config, options.config, options.target)
    with contextlib.nullcontext() if options.verbose else silence():
        spec, platform = _compile(config, options.config, paths, image, options.target)
    if options.platform is None:
        files = {options.out: pipeline_yaml.dump(spec, platform)}
    else:
        files = {options.out: pipeline_yaml.dump(spec), options.platform: pipeline_yaml.dump(platform)}
    check_size(spec, "".join(files.values()))
    for path, text in files.items():
        with os_errors_as(ConfigError, f"the compiled pipeline {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    if options.verify:
        _verify(options, config, paths, mounts)
    return 0


def _compile(
    config: ProjectConfig, config_file: Path, paths: Paths, image: str, target: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    check_beam(config, runs_here=False)
    prepare(config.train.onednn)
    sys.argv = sys.argv[:1]  # TFX passes it to absl's flags, which do not know Transom's arguments
    from pipeline import graph
    from pipeline.kubeflow.platform import platform_document
    from pipeline.kubeflow.spec import compile_spec
    from pipeline.lineage.run_facts import to_tell

    pipeline = graph.build(config, paths)
    spec = compile_spec(
        pipeline,
        config.kubeflow,
        image,
        target=target,
        onednn=config.train.onednn,
        attempts=paths.attempts,
        lineage=to_tell(config, config_file, paths.container_base or paths.base),
    )
    steps = [node.id for node in pipeline.components]
    return spec, platform_document(config.kubeflow, steps) if target == "kubeflow" else {}


def _check_targets(out: Path, platform: Path | None) -> None:
    """Refuses to overwrite a file that is not a compiled pipeline, such as the table."""
    if platform is not None and platform.resolve() == out.resolve():
        raise ConfigError("--platform", got=f"{platform}, which is also --out", expected="another file")
    for option, path in (("--out", out), ("--platform", platform)):
        if path is not None and not pipeline_yaml.is_replaceable(path):
            raise ConfigError(
                option,
                got=f"{path}, which exists already and is not a compiled pipeline",
                expected="a new file, or one that `transom compile` wrote",
                fix=f"name another file with {option}, or move this one away",
            )


def _parse_mounts(given: list[str]) -> dict[str, Path]:
    mounts = {}
    for one in given:
        container, separator, local = one.partition("=")
        if not separator or not container.startswith("/") or not Path(local).is_dir():
            raise ConfigError("--mount", got=one, expected="CONTAINER_PATH=FOLDER, with a folder on this machine")
        mounts[container.rstrip("/")] = Path(local).resolve()
    return mounts


def _verify(options: argparse.Namespace, config: ProjectConfig, paths: Paths, given: dict[str, Path]) -> None:
    begin = time.monotonic()
    with _verify_folder(options.work) as work:
        mounts = _local_mounts(config, paths, work, given)
        backend = LocalBackend(pipeline_yaml.read(options.out, options.platform), mounts, work, print)
        first, second = backend.run("run-1"), backend.run("run-2")
        summary = backend.folder(second["Evaluator"]["evaluation"]) / EVALUATION_FILE
        _check_second_run(first, second, json.loads(summary.read_text(encoding="utf-8")))
    print(f"verified: every step ran twice, in {time.monotonic() - begin:.0f} s")
    if options.work is not None:
        print(f"the outputs of the steps are in {work}")


@contextlib.contextmanager
def _verify_folder(parent: Path | None) -> Iterator[Path]:
    """A new folder: below `parent`, where it is kept, or a temporary one, which is kept only if a step fails."""
    if parent is not None:
        yield _new_folder(parent.resolve())
        return
    with scratch_folder() as folder:
        try:
            yield folder
        except TransomError:
            keep(folder)  # the error names the log of the step
            raise


def _new_folder(parent: Path) -> Path:
    try:
        for number in itertools.count(1):
            folder = parent / (time.strftime("verify-%Y%m%d-%H%M%S") + (f"-{number}" if number > 1 else ""))
            parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        got = f"{parent}: {error.strerror or error}"
        raise ConfigError("--work", got=got, expected="a folder in which new ones can be created") from None
    raise AssertionError("the loop has no end")


def _local_mounts(config: ProjectConfig, paths: Paths, work: Path, given: dict[str, Path]) -> dict[str, Path]:
    """Maps the containers' folders to folders on this machine.

    Steps read the configuration's folder and those of `--mount`. The folders that they write to and clear are always
    new and empty: a verification must neither change nor use the live model.
    """
    mounts = {mount.path: work / "mounts" / mount.claim for mount in config.kubeflow.mounts}
    for folder in mounts.values():
        folder.mkdir(parents=True, exist_ok=True)
    mounts[str(paths.container_base)] = paths.base
    if config.model.type == "preset" and paths.preset is not None:
        mounts[str(paths.preset)] = (paths.base / config.model.preset).resolve()
    mounts |= given
    for name in ("checkpoints", "attempts", "push", "edge"):
        path: Path = getattr(paths, name)
        if path == paths.container_base:
            raise ConfigError(
                f"the folder of {name}",
                got=f"{path}, which contains the configuration's own files",
                expected="another folder, which --verify can replace by an empty one",
            )
        mounts[str(path)] = work / name
        mounts[str(path)].mkdir()
    return mounts


def _check_second_run(first: Artifacts, second: Artifacts, evaluation: dict[str, Any]) -> None:
    """Prints what the first run pushed, and checks that the second run and its evaluation found it."""
    pushed = first["Pusher"]["pushed_model"]["metadata"]
    live = int(second["LiveModel"]["live_model"]["metadata"].get("version", 0))
    version = int(pushed.get("pushed_version") or 0)
    # An evaluation compares with version 0 if the live model is the same, or is not comparable.
    if live != version or evaluation["live_version"] not in (0, version):
        got = f"version {live}, and in the evaluation {evaluation['live_version']}"
        raise ModelError("the second run's live model", got=got, expected=f"that of the first run, {version}")
    if version:
        compared = "measured against it" if evaluation.get("baseline") else "not comparable"
        if not int(second["Pusher"]["pushed_model"]["metadata"].get("new") or 0):
            compared = "trained the same model again: nothing new was pushed"
        print(f"run-1 pushed version {version}; run-2 found it live and {compared}")
    else:
        print(f"run-1 pushed nothing: {pushed.get('reason', 'not blessed')}")
