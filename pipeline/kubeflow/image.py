"""The image of the steps: a Dockerfile that installs the locked packages, and how to build it. No TensorFlow."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from models.errors import ConfigError

_MADE_BY = "# Made by `transom compile --dockerfile`."
_DOCKERFILE = f"""\
{_MADE_BY} The context of the build is a checkout of Transom.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/transom
COPY requirements-uv.lock requirements.lock requirements-cuda.lock ./
# The lock is complete, every package is checked against its hash, and bytecode makes a step start three times faster.
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements-uv.lock \\
 && uv pip install --system --no-cache --require-hashes --no-deps --compile-bytecode -r requirements.lock
# For steps with an NVIDIA GPU, docker build --build-arg CUDA=1: the libraries that TensorFlow looks for.
ARG CUDA=
RUN if [ -n "$CUDA" ]; then \\
 uv pip install --system --no-cache --require-hashes --no-deps -r requirements-cuda.lock; fi
COPY . .
RUN uv pip install --system --no-cache --no-deps --no-build-isolation --compile-bytecode .
WORKDIR /
ENV TF_USE_LEGACY_KERAS=0 KERAS_BACKEND=tensorflow
"""
_IGNORED = (
    "*\n!requirements-uv.lock\n!requirements.lock\n!requirements-cuda.lock\n!pyproject.toml\n!README.md\n"
    + "".join(f"!{name}\n" for name in ("models", "tflite", "serving", "components", "pipeline"))
)


def write_dockerfile(folder: Path, image: str | None) -> list[str]:
    """Writes `Dockerfile` and `Dockerfile.dockerignore`; returns the lines to print.

    Raises:
        ConfigError: the folder is not writable, or has a Dockerfile that Transom did not write.
    """
    name = image or f"REGISTRY/transom:{importlib.metadata.version('transom')}"
    written = []
    try:
        _check_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in (("Dockerfile", _DOCKERFILE), ("Dockerfile.dockerignore", _IGNORED)):
            (folder / file).write_text(text, encoding="utf-8")
            written.append(f"wrote {folder / file}")
    except OSError as error:
        raise ConfigError("--dockerfile", got=f"{folder}: {error.strerror}", expected="a folder") from None
    gpu = "for steps with an NVIDIA GPU, add: --build-arg CUDA=1"
    return [*written, f"next: docker build --file {folder / 'Dockerfile'} --tag {name} . && docker push {name}", gpu]


def _check_free(folder: Path) -> None:
    """Refuses a folder with a Dockerfile that Transom did not write."""
    found = folder / "Dockerfile"
    is_replaceable = not found.exists() or found.read_text(encoding="utf-8", errors="replace").startswith(_MADE_BY)
    ignored = folder / "Dockerfile.dockerignore"
    if not found.exists() and ignored.exists():
        found, is_replaceable = ignored, ignored.read_text(encoding="utf-8", errors="replace") == _IGNORED
    if not is_replaceable:
        raise ConfigError(
            "--dockerfile",
            got=f"{found}, which exists already and was not written by Transom",
            expected="a new folder, or one that this command created",
            fix="name another folder",
        )
