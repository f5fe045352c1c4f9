"""Pusher and LiveModel: what is pushed, which version is live, and the errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pusher_runs import edge, push
from tfx import types
from tfx.types import standard_artifacts
from tiny_artifacts import artifact

from components import artifacts
from components.live_version import copy_live_version
from components.push import ALREADY_LIVE
from components.steps.live_model import WHEN_RUN, LiveModel
from components.steps.live_model import Executor as LiveExecutor
from components.steps.shipping.pusher import Pusher
from models.errors import PushError
from models.saved.model_locations import newest_bundle
from serving.publish.version_folders import publish, versions
from tflite.host.manifest import MODEL_FILE, Manifest


def saved_model(folder: Path, content: str) -> Path:
    """Files that look like a SavedModel."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)
    (folder / "variables" / "variables.index").write_text("index")
    return folder


def test_a_blessed_model_is_pushed_and_the_artifact_says_where(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    pushed = push(tmp_path, "first", base)
    [version] = versions(base)
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_version") == str(version)
    assert pushed.get_string_custom_property("pushed_destination") == str(base / str(version))
    made = tmp_path / "first" / "Format-Serving" / "saved_model.pb"
    assert (base / str(version) / "saved_model.pb").read_bytes() == made.read_bytes()
    assert (base / str(version) / "assets.extra" / "data_summary.json").read_text() == "{}"
    record = json.loads(Path(pushed.uri, "pushed.json").read_text())
    where = {"destination": str(base / str(version)), "bundle": ""}
    assert record == {"pushed": True, "new": True, "version": version, "reason": "pushed", **where}
    assert pushed.get_int_custom_property("new") == 1


def test_a_model_that_is_not_blessed_is_not_pushed(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    pushed = push(tmp_path, "first", base, blessed=0)
    assert not base.exists()
    assert pushed.get_int_custom_property("pushed") == 0
    assert not pushed.has_custom_property("pushed_destination")
    assert json.loads(Path(pushed.uri, "pushed.json").read_text())["reason"] == "not blessed: accuracy 0.71 is too low"


def test_a_model_that_failed_the_serving_gate_is_not_pushed(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    pushed = push(tmp_path, "first", base, served=0)
    assert not base.exists()
    assert json.loads(Path(pushed.uri, "pushed.json").read_text())["reason"] == "not served: REST predict of row 3"


def test_a_model_that_is_live_already_is_not_pushed_twice(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    push(tmp_path, "first", base)
    live = versions(base)
    again = push(tmp_path, "first", base, findings='["drift"]')
    assert versions(base) == live
    assert again.get_string_custom_property("pushed_version") == str(live[0])
    assert again.get_string_custom_property("reason") == ALREADY_LIVE
    assert (again.get_int_custom_property("pushed"), again.get_int_custom_property("new")) == (1, 0)
    shutil.rmtree(tmp_path / "first")
    push(tmp_path, "first", base)
    assert versions(base) == live, "another training produced the same model"
    push(tmp_path, "second", base)
    push(tmp_path, "first", base)
    assert len(versions(base)) == 3, "only the newest version counts as live"


def test_old_versions_are_removed(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    for name in ("a", "b", "c"):
        push(tmp_path, name, base)
    old = versions(base)
    pushed = push(tmp_path, "d", base, keep=2)
    assert versions(base)[:-1] == old[-1:]
    assert pushed.get_string_custom_property("reason") == f"pushed; removed {old[0]}, {old[1]}"


def test_a_push_that_fails_is_a_push_error_with_its_four_parts(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    base.write_text("")
    with pytest.raises(PushError) as caught:
        push(tmp_path, "first", base)
    assert str(base) in caught.value.what
    assert (caught.value.got, caught.value.expected) == ("a file", "a folder, or nothing")
    assert caught.value.fix


def find_live(folder: Path, base: Path, version: int) -> Any:
    live = artifact(artifacts.LiveModelArtifact, folder / "live")
    LiveExecutor().Do({}, {"live_model": [live]}, {"directory": str(base), "version": version, "code": ""})
    return live


def test_nothing_is_live_where_there_is_no_folder(tmp_path: Path) -> None:
    live = find_live(tmp_path, tmp_path / "serving", 0)
    assert live.version == 0
    assert list(Path(live.uri).iterdir()) == []


def test_the_live_model_is_a_copy_that_outlives_its_version(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    model = saved_model(tmp_path / "model", "graph")
    first, second = publish(model, base), publish(saved_model(tmp_path / "other", "other"), base)
    live = find_live(tmp_path, base, first)
    assert live.version == first
    (base / str(first) / "saved_model.pb").write_text("changed")
    assert Path(live.uri, "saved_model.pb").read_text() == "graph"
    assert find_live(tmp_path, base, WHEN_RUN).version == second
    assert Path(live.uri, "saved_model.pb").read_text() == "other"


def test_a_version_that_is_gone_gives_way_to_the_newest(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    version = publish(saved_model(tmp_path / "model", "graph"), base)
    assert copy_live_version(base, tmp_path / "copy", version - 1) == version
    assert (tmp_path / "copy" / "variables" / "variables.index").read_text() == "index"


def test_a_push_folder_that_cannot_be_read_is_a_push_error(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    base.write_text("")
    with pytest.raises(PushError, match="a file"):
        LiveModel(directory=str(base))
    with pytest.raises(PushError, match="a file"):
        find_live(tmp_path, base, 0)


def component(base: str, edge_directory: str = "") -> Pusher:
    return Pusher(
        types.Channel(type=standard_artifacts.Model),
        types.Channel(type=standard_artifacts.ModelBlessing),
        types.Channel(type=artifacts.DataBlessing),
        directory=base,
        edge_directory=edge_directory,
        keep=5,
    )


def test_what_is_live_is_part_of_the_cache_keys(tmp_path: Path) -> None:
    base = str(tmp_path / "serving")

    def properties() -> list[dict[str, Any]]:
        return [dict(LiveModel(directory=base).exec_properties), dict(component(base).exec_properties)]

    before = properties()
    assert before == properties()
    version = publish(saved_model(tmp_path / "model", "graph"), Path(base))
    after = properties()
    (Path(base) / str(version) / "saved_model.pb").write_text("other weights, put there by hand")
    assert properties()[0]["version"] == version
    assert len({entry[0]["contents"] for entry in (before, after, properties())}) == 3
    assert [entry["version"] for entry in (before[0], after[0])] == [0, version]
    assert [entry["live_version"] for entry in (before[1], after[1])] == [0, version]
    assert LiveModel(directory=base, version=WHEN_RUN).exec_properties["version"] == WHEN_RUN


def test_a_chosen_bundle_is_pushed_under_the_models_number(tmp_path: Path) -> None:
    base, bundles = tmp_path / "serving", tmp_path / "edge"
    pushed = push(tmp_path / "run", "a", base, **edge(tmp_path / "run", "dynamic_int8"))
    version = versions(base)[0]
    assert versions(bundles) == [version]
    assert pushed.get_string_custom_property("pushed_bundle") == str(bundles / str(version))
    assert newest_bundle(bundles) == bundles / str(version)
    manifest = Manifest.load(bundles / str(version))
    manifest.check_files(bundles / str(version))
    assert manifest.report["version"] == version
    assert manifest.report["parity"] == {"rows": 9}
    assert manifest.report["budget"] == {"megabytes": 1}
    assert manifest.report["bytes"] == 4
    assert (base / str(version) / "assets.extra" / "edge_report.json").is_file()


def test_a_model_without_a_bundle_is_pushed_alone(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    pushed = push(tmp_path / "run", "a", base, **edge(tmp_path / "run", ""))
    assert pushed.get_int_custom_property("pushed") == 1
    assert not pushed.has_custom_property("pushed_bundle")
    assert not (tmp_path / "edge").exists()
    assert "edge_report.json" in {path.name for path in next(base.iterdir()).joinpath("assets.extra").iterdir()}


def test_another_variant_of_a_live_model_replaces_the_bundle(tmp_path: Path) -> None:
    base, bundles = tmp_path / "serving", tmp_path / "edge"
    push(tmp_path / "run", "a", base, **edge(tmp_path / "run", "dynamic_int8"))
    (version,) = versions(bundles)
    before = (bundles / str(version)).stat().st_ino
    same = push(tmp_path / "run", "a", base, **edge(tmp_path / "run", "dynamic_int8"))
    assert (bundles / str(version)).stat().st_ino == before
    other = push(tmp_path / "run", "a", base, **edge(tmp_path / "run", "float16", "float16"))
    assert [one.get_int_custom_property("new") for one in (same, other)] == [0, 1]
    assert "its edge bundle is new" in other.get_string_custom_property("reason")
    assert versions(base) == versions(bundles) == [version]
    assert (bundles / str(version) / MODEL_FILE).read_text() == "float16"
    assert [path.name for path in bundles.iterdir()] == [str(version)]


@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_a_damaged_bundle_is_pushed_again(tmp_path: Path, damage: str) -> None:
    base, bundles = tmp_path / "serving", tmp_path / "edge"
    push(tmp_path / "run", "a", base, **edge(tmp_path / "run", "dynamic_int8"))
    (version,) = versions(bundles)
    file = bundles / str(version) / MODEL_FILE

    def key() -> str:
        return str(component(str(base), str(bundles)).exec_properties["live_bundle"])

    before = key()
    file.write_text("inT8") if damage == "changed" else file.unlink()
    assert key() != before, "the cache does not stand in the way"
    again = push(tmp_path / "run", "a", base, **edge(tmp_path / "run", "dynamic_int8"))
    assert again.get_int_custom_property("new") == 1
    assert file.read_text() == "int8"
    assert key() == before


def test_a_failed_push_of_a_bundle_is_reported_and_repeated_later(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    (tmp_path / "edge").write_text("a file")
    with pytest.raises(PushError, match=r"of the model is live, but its edge bundle is not"):
        push(tmp_path / "run", "a", base, **edge(tmp_path / "run", "dynamic_int8"))
    (tmp_path / "edge").unlink()
    push(tmp_path / "run", "a", base, **edge(tmp_path / "run", "dynamic_int8"))
    assert versions(base) == versions(tmp_path / "edge")


def test_old_bundles_are_removed_with_old_models(tmp_path: Path) -> None:
    base = tmp_path / "serving"
    for name in "abc":
        push(tmp_path / "run", name, base, keep=2, **edge(tmp_path / "run", "dynamic_int8", name))
    assert versions(base) == versions(tmp_path / "edge")
    assert len(versions(base)) == 2
