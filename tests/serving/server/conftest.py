"""Makes the helpers beside these tests importable, and the models that they share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory) -> list[Path]:
    """SavedModels whose bias is their index."""
    from tiny_servers import BIASES, save_model

    folders = [tmp_path_factory.mktemp("models") / str(bias) for bias in BIASES]
    for bias, folder in zip(BIASES, folders, strict=True):
        save_model(folder, bias)
    return folders
