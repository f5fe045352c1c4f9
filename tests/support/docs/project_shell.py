"""A project in which the commands of the documents can be run as they are, and what their names stand for."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml
from fronts import free_ports

_GOOD, _BAD = ("good", "lovely", "bright", "fine", "warm"), ("bad", "ugly", "dull", "poor", "cold")
_OTHER = ("film", "story", "cast", "scene", "music", "ending", "plot", "the", "a", "very", "this")
TINY: dict[str, Any] = {
    "tokenizer": {"vocabulary_size": 96, "max_length": 32},
    "model": {"type": "encoder", "num_layers": 1, "width": 16, "num_heads": 2, "dropout": 0.0},
    "train": {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "xla": False},
    "evaluation": {"min_slice_size": 5},
    "serving": {"rows": 4},
    "edge": {"variants": ["dynamic_int8"], "rows": 16},
}
"""Settings with which a run takes half a minute."""


class ProjectShell:
    """A folder with the files that the documents name, and a shell in it.

    Attributes:
        folder: of the project `reviews`, whose other name `reviews/` is a link to itself.
        ports: of gRPC and REST of the last server, in place of 8500 and 8501.
    """

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder, self.repository = folder, repository
        self.ports = (8500, 8501)
        write_tables(folder)
        (folder / "bin").mkdir()
        command = folder / "bin" / "transom"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline.cli "$@"\n')
        command.chmod(0o755)

    def describe(self) -> None:
        """`transom init`, then a smaller model than it proposes."""
        self.run("transom init reviews.csv")
        file = self.folder / "transom.yaml"
        file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text(encoding="utf-8")), **TINY}), encoding="utf-8")
        (self.folder / "reviews").symlink_to(".")

    def filled_in(self, line: str) -> str:
        """The line with this machine's ports, and the last run's name."""
        grpc, rest = map(str, self.ports)
        line = line.replace("localhost:8500", f"127.0.0.1:{grpc}").replace("localhost:8501", f"127.0.0.1:{rest}")
        line = line.replace("--port=9000", f"--port={grpc}").replace("--rest_api_port=9001", f"--rest_api_port={rest}")
        if line.startswith("transom serve") and "--port" not in line:
            line += f" --port={grpc} --rest_api_port={rest}"
        runs = sorted((self.folder / "reviews-out" / "runs").glob("*/run.json"))
        measured = [run.parent.name for run in runs if json.loads(run.read_text(encoding="utf-8")).get("rows")]
        line = re.sub(r"\b\d{8}-\d{6}\b", measured[-1], line) if measured else line
        # Programs that only show the output, where they are not installed.
        return re.sub(r" \| (jq|less)\b.*", lambda end: end[0] if shutil.which(end[1]) else "", line)

    def run(self, line: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a line, and returns how it ended."""
        return subprocess.run(
            ["bash", "-c", self.filled_in(line)],
            cwd=folder or self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @contextlib.contextmanager
    def serving(self, line: str) -> Iterator[None]:
        """While the model is served. In the end the server is interrupted, and must end without an error."""
        self.ports = free_ports()
        log = self.folder / "server.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self.filled_in(line)}"],
                cwd=self.folder,
                env=self._environment(),
                stdout=output,
                stderr=output,
            )
            try:
                self._wait(process, log)
                yield
                process.send_signal(signal.SIGINT)
                assert process.wait(120) == 0, log.read_text(encoding="utf-8")
            finally:
                process.kill()
                process.wait()

    def _wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Waits until the model is served: some 10 seconds on a quiet machine."""
        end = time.monotonic() + 300
        while time.monotonic() < end:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.get(f"http://127.0.0.1:{self.ports[1]}/v1/models/reviews", trust_env=False)
                if "AVAILABLE" in answer.text:
                    return
            time.sleep(0.2)
        raise AssertionError(log.read_text(encoding="utf-8"))

    def _environment(self) -> dict[str, str]:
        variables = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
        return {
            **variables,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.repository),
            "TRANSOM_BACKENDS": str(self.folder / "backends"),  # only TensorFlow is compared
        }


def write_tables(folder: Path) -> None:
    """The tables that the documents name: sentences whose words determine their label, but for some wrong ones."""
    rows = _rows(260)
    for name, part in (
        ("reviews.csv", rows),
        ("train.csv", rows[:160]),
        ("dev.csv", rows[160:200]),
        ("test.csv", rows[200:]),
    ):
        _write(folder / name, part)
    (folder / "data").mkdir()
    for name in ("train.csv", "dev.csv", "test.csv"):
        shutil.copy(folder / name, folder / "data")
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text, _ in rows[:120]), encoding="utf-8")


def _rows(number: int) -> list[tuple[str, str]]:
    chosen = random.Random(0)
    rows = []
    for index in range(number):
        label = chosen.choice(("good", "poor"))
        words = chosen.choices(_OTHER, k=chosen.randint(2, 9)) + chosen.choices(_GOOD if label == "good" else _BAD, k=2)
        chosen.shuffle(words)
        wrong = chosen.random() < 0.08
        rows.append((f"{' '.join(words)} {index}", {"good": "poor", "poor": "good"}[label] if wrong else label))
    return rows


def _write(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
