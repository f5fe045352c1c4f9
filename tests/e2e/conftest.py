"""Whole runs on a tiny project, as a user starts them: from the command line, each in its own process."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
GOOD = ("good", "lovely", "bright", "fine", "warm")
BAD = ("bad", "ugly", "dull", "poor", "cold")
OTHER = ("film", "story", "cast", "scene", "music", "ending", "plot", "café", "the", "a", "very", "this")

TINY = """\
name: tiny
data: {data}
tokenizer: {{vocabulary_size: 96, max_length: 32}}
model: {{num_layers: 1, width: 16, num_heads: 2, dropout: 0.0}}
train: {{epochs: 6, batch_size: 16, learning_rate: 0.01, xla: false}}
evaluation:
  min_slice_size: 5
  thresholds: {{accuracy: {{min: 0.8}}}}
serving: {{rows: 4}}
"""


@dataclass
class Project:
    """A project in its own folder."""

    folder: Path
    repository: Path = REPOSITORY

    @property
    def config(self) -> Path:
        return self.folder / "transom.yaml"

    @property
    def output(self) -> Path:
        return self.folder / "tiny-out"

    @property
    def temporary(self) -> Path:
        """The folder of the commands' temporary files."""
        return self.folder / "tmp"

    def copy_to(self, folder: Path) -> Project:
        """The same project in another folder, before its first run."""
        for path in (self.config, self.folder / "reviews.csv"):
            shutil.copy(path, folder)
        return Project(folder)

    def transom(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """Runs `transom` with environment variables, checks its exit code, and returns its standard output."""
        self.temporary.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "TMPDIR": str(self.temporary), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stdout + done.stderr

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Runs the pipeline; returns its record, with the status of each step under "fates"."""
        out = self.transom("run", str(self.config), "--json", *arguments, code=code)
        events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        fates = {event["step"]: event["status"] for event in events if event["event"] == "ended"}
        result = next((event for event in events if event["event"] == "result"), {})
        return {**result, "fates": fates, "out": out}


def reviews(rows: int, seed: int = 0) -> list[dict[str, str]]:
    """Random sentences whose words determine their label; `place` is a column for slices."""
    random_ = random.Random(seed)
    table = []
    for number in range(rows):
        label = random_.choice(("pos", "neg"))
        words = random_.choices(OTHER, k=random_.randint(2, 9)) + random_.choices(GOOD if label == "pos" else BAD, k=2)
        random_.shuffle(words)
        place = random_.choice(("home", "cinema"))
        table.append({"text": f"{' '.join(words)} {number}", "label": label, "place": place})
    return table


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Writes rows as a CSV file with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a table of 600 rows and a configuration. Tests that change it copy it."""
    project = Project(tmp_path_factory.mktemp("tiny"))
    write_csv(project.folder / "reviews.csv", reviews(600))
    project.config.write_text(TINY.format(data="{path: reviews.csv}"))
    return project


@pytest.fixture(scope="session")
def tiny(source: Project) -> tuple[Project, dict[str, Any]]:
    """The same project after its first run, and the record of the run."""
    return source, source.run()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in an empty folder."""
    return Project(tmp_path)
