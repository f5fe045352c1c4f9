"""The client is light: what it imports, how fast, and that it runs where nothing else is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest
from fake_serving import FakeServing

# The packages that `serving.client` needs, with their dependencies.
_HTTPX = ("httpx", "httpcore", "h11", "anyio", "sniffio", "idna", "certifi")
_DISTRIBUTIONS = ("grpcio", "typing_extensions", "protobuf", "numpy", *_HTTPX)
_FOREIGN = ("tensorflow", "keras", "pandas", "numpy", "grpc", "httpx", "pydantic", "yaml")

_ASK = """
import asyncio, importlib.util, sys
from serving.client import AsyncClient, Client

assert importlib.util.find_spec("tensorflow") is None, "the environment is not isolated"
for url in sys.argv[1:]:
    with Client(url, model="reviews") as client:
        print(client.predict(["a good film"])[0].line())
    async def ask():
        async with AsyncClient(url, model="reviews") as client:
            return await client.predict(["dull"])
    print(asyncio.run(ask())[0].line())
"""


def test_importing_the_client_loads_nothing_heavy_and_is_fast(repository: Path) -> None:
    code = f"import sys, serving.client; print([name for name in {_FOREIGN} if name in sys.modules])"
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - begin < 5.0  # 0.1 s on an idle machine; this one is shared


def test_the_client_runs_with_grpcio_protobuf_httpx_and_numpy_alone(
    repository: Path, tmp_path: Path, fake: FakeServing
) -> None:
    for name in _DISTRIBUTIONS:
        _link(name, tmp_path)
    (tmp_path / "serving").symlink_to(repository / "serving")
    done = subprocess.run(
        [sys.executable, "-S", "-c", _ASK, fake.grpc_url, fake.rest_url],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["pos\t0.875", "neg\t0.875"] * 2


def _link(name: str, site: Path) -> None:
    """The importable parts of an installed distribution appear in `site`."""
    files = distribution(name).files
    if not files:
        pytest.skip(f"the installed {name} does not tell its files")
    for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
        if (site / top).exists():  # google/ belongs to several distributions
            continue
        source = Path(str(distribution(name).locate_file(top)))
        if top == "google":
            (site / top).mkdir()
            (site / top / "protobuf").symlink_to(source / "protobuf")
            (site / top / "_upb").symlink_to(source / "_upb")
        else:
            (site / top).symlink_to(source)
