"""`transom --version`: read from the packages' metadata, without importing them."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

# A bug report needs their versions.
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


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="store_true", help="print the version, with -v the libraries' versions too")


def print_version(options: argparse.Namespace) -> int:
    """Prints the version; with -v also the versions of Python, the machine and the main libraries."""
    print(version_text())
    if options.verbose:
        print(f"Python {platform.python_version()}, {platform.platform()}")
        for name in LIBRARIES:
            print(name, _version(name))
    return 0


def version_text() -> str:
    """ "transom 1.2.3"."""
    return f"transom {_version('transom')}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
