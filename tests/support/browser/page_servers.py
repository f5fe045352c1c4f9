"""Servers of tiny models with the page, as processes. Not a test itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fronts import HOST, free_ports

from models.child_processes import tied_to_parent


@dataclass
class PageServer:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    rest_port: int
    log: Path

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://{HOST}:{self.rest_port}/"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def start(folder: Path, models: Mapping[str, Path], *flags: str, more: Mapping[str, str] | None = None) -> PageServer:
    """Starts a server with the page, and waits until it serves.

    Args:
        folder: for its files.
        models: name to the base path.
        flags: further flags.
        more: name to further fields of a model's configuration.
    """
    fields = {name: f'name: "{name}" base_path: "{base}" model_platform: "tensorflow"' for name, base in models.items()}
    configs = [f"config {{ {text} {(more or {}).get(name, '')} }}" for name, text in fields.items()]
    config, log, (port, rest_port) = folder / "models.config", folder / "log.txt", free_ports()
    config.write_text(f"model_config_list {{ {' '.join(configs)} }}", encoding="utf-8")
    command = [sys.executable, "-m", "serving.server", f"--model_config_file={config}", f"--host={HOST}", "--page"]
    command += [f"--port={port}", f"--rest_api_port={rest_port}", "--max_num_load_retries=0", *flags]
    command += ["--enable_model_warmup=false", "--allow_version_labels_for_unavailable_models"]
    with open(log, "wb") as file:
        process = subprocess.Popen(tied_to_parent(command), stderr=file)
    deadline = time.monotonic() + 120  # some ten seconds
    while "INFO page: " not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return PageServer(process, port, rest_port, log)
