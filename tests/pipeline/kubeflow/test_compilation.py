"""`transom compile --verify` changes nothing in the user's folders."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import ConfigError, TransomError
from pipeline import cli
from pipeline.config import ProjectConfig
from pipeline.kubeflow.cluster_paths import paths_on_cluster
from pipeline.kubeflow.compilation import _parse_mounts, _verify
from pipeline.kubeflow.pipeline_yaml import is_replaceable

# The real steps' changes to their folders: Trainer clears the checkpoints, Pusher adds a version.
STEP = """
import json, pathlib, shutil, sys
executor_input, storage = json.loads(sys.argv[1]), pathlib.Path(sys.argv[-1])
given, (name, out), = executor_input["inputs"]["parameterValues"], *executor_input["outputs"]["artifacts"].items()
out = out["artifacts"][0]
folder = storage / "minio" / out["uri"].removeprefix("minio://")
folder.mkdir(parents=True)
push = pathlib.Path(given["push"])
live = max((int(path.name) for path in push.iterdir()), default=0)
if name == "live_model":
    shutil.rmtree(given["checkpoints"], ignore_errors=True)
    assert pathlib.Path(given["data"]).read_text() == "text,label"
    out["metadata"] = {"version": live}
elif name == "evaluation":
    (folder / "summary.json").write_text(json.dumps({"live_version": live}))
else:
    for place in (push, pathlib.Path(given["edge"])):
        (place / "1").mkdir(exist_ok=True)
    out["metadata"] = {"pushed_version": "1"}
result = {"artifacts": {name: {"artifacts": [out]}}}
pathlib.Path(executor_input["outputs"]["outputFile"]).write_text(json.dumps(result))
"""
OUTPUTS = {"LiveModel": "live_model", "Evaluator": "evaluation", "Pusher": "pushed_model"}


def spec(places: dict[str, str], code: str = STEP) -> dict[str, Any]:
    parameters = {name: {"runtimeValue": {"constant": place}} for name, place in places.items()}
    after = dict(zip(OUTPUTS, ([], ["LiveModel"], ["Evaluator"]), strict=True))
    return {
        "pipelineInfo": {"name": "tiny"},
        "schemaVersion": "2.1.0",
        "root": {
            "dag": {
                "tasks": {
                    name: {
                        "componentRef": {"name": name},
                        "dependentTasks": after[name],
                        "inputs": {"parameters": parameters},
                    }
                    for name in OUTPUTS
                }
            }
        },
        "components": {
            name: {
                "executorLabel": name,
                "outputDefinitions": {"artifacts": {output: {"artifactType": {"schemaTitle": "t.T"}}}},
            }
            for name, output in OUTPUTS.items()
        },
        "deploymentSpec": {
            "executors": {
                name: {"container": {"command": ["python", "-c", code], "args": ["{{$}}"]}} for name in OUTPUTS
            }
        },
    }


def state(folder: Path) -> dict[str, str | None]:
    """Every path below a folder, with the content of files."""
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project with the user's own folders of every name that Transom uses."""
    folder = tmp_path / "home"
    for name in ("push", "edge", "checkpoints", "run-1", "run-2", "buckets", "mounts", "out/serving/tiny", "out/edge"):
        (folder / name / "7").mkdir(parents=True)
        (folder / name / "7" / "mine.txt").write_text(name)
    (folder / "reviews.csv").write_text("text,label")
    return folder


def verify(home: Path, work: Path | None, mounts: list[str], code: str = STEP, **settings: Any) -> None:
    kubeflow = {
        "base": "/mnt/data/home",
        "mounts": [{"claim": "data", "path": "/mnt/data"}],
        **settings.pop("kubeflow", {}),
    }
    raw = {"name": "tiny", "data": {"path": "reviews.csv"}, "kubeflow": kubeflow, **settings}
    config = ProjectConfig.model_validate(raw)
    paths = paths_on_cluster(config, home / "transom.yaml", "kubeflow")
    places = {name: str(getattr(paths, name)) for name in ("push", "edge", "checkpoints")}
    out = home.parent / "pipeline.yaml"
    out.write_text(yaml.safe_dump(spec({**places, "data": "/mnt/data/home/reviews.csv"}, code)))
    _verify(argparse.Namespace(out=out, platform=None, work=work), config, paths, _parse_mounts(mounts))


OWN_OUTPUT = {
    "kubeflow": {"output": "/mnt/out", "mounts": [{"claim": n, "path": f"/mnt/{n}"} for n in ("data", "out")]}
}


@pytest.mark.parametrize(
    ("mounts", "settings", "work"),
    [
        ([], {"output": "."}, "."),
        ([], {"push": {"directory": "push"}, "edge": {"directory": "edge"}}, None),
        (["/mnt/data=."], {"output": "out"}, "."),
        (["/mnt/data/home=.", "/mnt/data/home/tiny-out=out"], {}, None),
        (["/mnt/data/home/tiny-out/serving/tiny=push", "/mnt/data/home/tiny-out/checkpoints=checkpoints"], {}, "."),
        (["/mnt/out=linked", "/mnt/out/serving/tiny=push/"], OWN_OUTPUT, "run-1/../"),
    ],
)
def test_a_verification_touches_nothing_of_the_users(
    home: Path, monkeypatch: pytest.MonkeyPatch, mounts: list[str], settings: dict[str, Any], work: str | None
) -> None:
    monkeypatch.chdir(home)
    (home / "home").symlink_to(home)  # for the mount of the folder above
    (home / "linked").symlink_to("out")
    before = {name: state(home / name) for name in ("push", "edge", "checkpoints", "run-1", "buckets", "mounts", "out")}
    verify(home, Path(work) if work else None, mounts, **dict(settings))
    assert {name: state(home / name) for name in before} == before
    made = list(home.glob("verify-*"))
    assert len(made) == (1 if work else 0)
    assert not made or (made[0] / "push" / "1").is_dir()


def test_each_verification_has_a_folder_of_its_own(home: Path, tmp_path: Path) -> None:
    for _ in range(2):
        verify(home, tmp_path / "kept" / "here", [])
    assert len(list((tmp_path / "kept" / "here").iterdir())) == 2
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--work"):
        verify(home, tmp_path / "file", [])


def test_of_a_failed_step_the_log_stays_and_of_a_good_run_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    verify(home, None, [])
    assert list(temporary.iterdir()) == []
    with pytest.raises(TransomError) as caught:
        verify(home, None, [], code="raise SystemExit(3)")
    assert Path(caught.value.fix.removeprefix("read ")).is_file()


@pytest.mark.parametrize("content", ["text,label\na,b\n", "data: {path: t.csv}\n", "[1]", "a: [", "\x00"])
def test_a_file_that_is_no_compiled_pipeline_is_not_written_over(tmp_path: Path, content: str) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    (tmp_path / "transom.yaml").write_text("data: {path: t.csv}\n")
    for option in ("--out", "--platform"):
        assert cli.main(["compile", str(tmp_path / "transom.yaml"), option, str(file)]) == 2
    assert file.read_text() == content
    same = ["--out", str(tmp_path / "p.yaml"), "--platform", str(tmp_path / "." / "p.yaml")]
    assert cli.main(["compile", str(tmp_path / "transom.yaml"), *same]) == 2
    assert is_replaceable(tmp_path / "new.yaml")
    assert not is_replaceable(tmp_path)
    file.write_text(yaml.safe_dump_all([spec({}), {"platforms": {}}]))
    assert is_replaceable(file)


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.dockerignore"])
def test_a_dockerfile_of_the_users_own_is_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("FROM mine\n")
    assert cli.main(["compile", "--dockerfile", str(tmp_path)]) == 2
    assert [path.read_text() for path in tmp_path.iterdir()] == ["FROM mine\n"]
    (tmp_path / name).unlink()
    for _ in range(2):
        assert cli.main(["compile", "--dockerfile", str(tmp_path)]) == 0
