"""A server of several tiny models with the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_servers import PageServer, start


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """Serves one model, which says why it answers so."""
    from tiny_exports import export

    folder = tmp_path_factory.mktemp("single")
    export("single", folder / "single" / "1", attributions=True)
    server = start(folder, {"single": folder / "single"})
    yield server
    server.stop()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, saved_models: list[Path]) -> Iterator[PageServer]:
    """Serves a model for each kind of task, one that reads no text, and one that cannot be loaded.

    "single" has two versions and a label; it and "pair" say why they answer so.
    """
    from tiny_exports import KINDS, export

    folder = tmp_path_factory.mktemp("several")
    for kind in KINDS:
        export(kind, folder / kind / "1", attributions=kind in ("single", "pair"))
    (folder / "single" / "2").symlink_to(folder / "single" / "1")
    (folder / "floats").mkdir()
    (folder / "floats" / "1").symlink_to(saved_models[1])
    (folder / "broken" / "1").mkdir(parents=True)
    (folder / "broken" / "1" / "saved_model.pb").write_bytes(b"no model")
    versions = 'model_version_policy { all {} } version_labels { key: "stable" value: 1 }'
    models = {name: folder / name for name in ("single", "pair", "multi", "number", "floats", "broken")}
    server = start(folder, models, more={"single": versions})
    yield server
    server.stop()
