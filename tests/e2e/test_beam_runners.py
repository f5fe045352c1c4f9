"""The steps that read rows, on Beam's portable job service with worker processes of their own: the same files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.child_processes import tied_to_parent

STEPS = ("ExampleGen", "StatisticsGen", "SchemaGen", "DataGate", "TokenizerTrainer", "Transform")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def service(folder: Path, repository: Path, port: int, module: str, *arguments: str) -> Iterator[None]:
    """One of Beam's services, which starts workers as `python`."""
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / f"{module}.txt").open("wb") as log:
        command = tied_to_parent([sys.executable, "-m", f"apache_beam.runners.{module}", *arguments])
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
                    break
                time.sleep(0.2)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def digests(output: Path) -> dict[str, str]:
    """The files of the steps' artifacts, without the executions' numbers in their paths."""
    found = {}
    for step in STEPS:
        for path in sorted((output / "artifacts" / step).glob("*/*/**/*")):
            parts = path.relative_to(output / "artifacts").parts
            if path.is_file() and ".system" not in parts:
                found["/".join((*parts[:2], *parts[3:]))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.slow
def test_workers_of_a_job_service_write_the_same_files(source: Any, tmp_path: Path, repository: Path) -> None:
    project = source.copy_to(tmp_path)
    project.run("--to", "Transform", "--set", "output=here", "--set", "data.dedupe=true")
    jobs, workers = free_port(), free_port()
    options = (
        f"{{job_endpoint: 'localhost:{jobs}', environment_type: EXTERNAL, environment_config: 'localhost:{workers}', "
        "sdk_worker_parallelism: 2}"
    )
    with (
        service(tmp_path, repository, jobs, "portability.local_job_service_main", "-p", str(jobs)),
        service(tmp_path, repository, workers, "worker.worker_pool_main", f"--service_port={workers}"),
    ):
        settings = ("output=there", "data.dedupe=true", "beam.runner=PortableRunner", f"beam.options={options}")
        project.run("--to", "Transform", *(part for one in settings for part in ("--set", one)))
    found = digests(project.folder / "there")
    assert len(found) >= 12
    assert found == digests(project.folder / "here")
