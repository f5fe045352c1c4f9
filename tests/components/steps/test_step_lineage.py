"""What the steps write about a model's origin, and that nothing runs again because of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_gen_runs import Project, write_csv
from pusher_runs import push

from components.config import DataConfig
from components.fingerprint import fingerprint
from components.lineage import lineage_record
from components.lineage.lineage_facts import Lineage, RunFacts
from components.lineage.origin import STEP_CODE
from components.steps import tokenizer_trainer, trainer, transform
from serving.publish.version_folders import versions

ROWS = [(f"text {number}", "ab"[number % 2]) for number in range(40)]


def lineage_of(base: Path, version: int) -> Lineage:
    return Lineage.model_validate_json((base / str(version) / "assets.extra" / "lineage.json").read_bytes())


def test_the_examples_name_the_files_that_they_were_made_from(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for span in (1, 2):
        write_csv(project.folder / "days" / f"day-{span}" / "t.csv", ROWS[: 20 * span])
    splits = project.run(DataConfig(path="days/day-{SPAN}/*.csv"))
    facts = project.tables()
    (source,) = facts.sources
    assert source.patterns == ["days/day-{SPAN}/*.csv"]
    assert [file.path for file in source.files] == ["days/day-2/t.csv"]
    assert (facts.span, facts.version) == (2, None)
    assert facts.rows == {name: len(rows) for name, rows in splits.items()}
    assert facts.folder == str(tmp_path)


@pytest.mark.parametrize("step", [tokenizer_trainer.TokenizerTrainer, transform.Transform, trainer.Trainer])
def test_the_code_of_a_step_is_that_of_its_cache_key(step: type) -> None:
    assert STEP_CODE[step.__name__] == step._code  # type: ignore[attr-defined]
    assert fingerprint(*STEP_CODE["ExampleGen"]) == fingerprint("components.steps.example_gen")


def test_a_push_writes_the_lineage_and_a_second_one_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "serving"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tables.json").write_text(json.dumps({"folder": "/x", "rows": {"train": 5}}))
    monkeypatch.setattr(lineage_record, "_told", {"run": RunFacts(name="first")})
    push(tmp_path, "a", base)
    (live,) = versions(base)
    found = lineage_of(base, live)
    assert (found.run.name, found.run.previous_version, found.data.rows) == ("first", 0, {"train": 5})
    assert found.model.digest is not None
    assert not (base / str(live) / "assets.extra" / "tables.json").exists(), "it is a part of the lineage"
    monkeypatch.setattr(lineage_record, "_told", {"run": RunFacts(name="second")})
    push(tmp_path, "a", base)
    assert versions(base) == [live]
    assert lineage_of(base, live).run.name == "first"
    push(tmp_path, "b", base)
    other = lineage_of(base, versions(base)[-1])
    assert (other.run.name, other.run.previous_version) == ("second", live)
    assert other.model.digest != found.model.digest
