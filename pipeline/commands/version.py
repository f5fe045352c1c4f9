"""`transom --version`: from the packages' metadata. Nothing is imported."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

# What a report of a fault needs.
LIBRARIES = (
    "tensorflow",
    "tensorflow-text",
    "keras",
    "keras-hub",
    "tfx",
    "apache-beam",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "numpy",
    "pyarrow",
    "protobuf",
    "grpcio",
    "huggingface-hub",
    "kfp",
)


def version_text(verbose: bool) -> str:
    """The version, with `verbose` those of Python, the machine and the main libraries too."""
    lines = [f"transom {_version('transom')}"]
    if verbose:
        lines.append(f"Python {platform.python_version()}, {platform.platform()}")
        lines += [f"{name} {_version(name)}" for name in LIBRARIES]
    return "\n".join(lines)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
