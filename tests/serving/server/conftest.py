"""Models that these tests share, and a running service with two of them."""

from __future__ import annotations

import asyncio
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


@pytest.fixture(scope="module")
def base(saved_models, tmp_path_factory) -> Path:
    """A base path with versions 1 and 2, whose bias is their number."""
    from tiny_servers import publish

    base = tmp_path_factory.mktemp("base")
    publish(saved_models[1], base, 1)
    publish(saved_models[2], base, 2)
    return base


@pytest.fixture(scope="module")
def query(base):
    """Queries a service that serves both versions, with a label, in one event loop for all tests of a module."""
    from tiny_servers import config_of, options_of

    from serving.server.model_service import ModelService

    config = config_of(m=base)
    config.model_config_list.config[0].model_version_policy.all.SetInParent()
    config.model_config_list.config[0].version_labels["stable"] = 1
    with asyncio.Runner() as runner:
        service = ModelService(options_of(config, allow_version_labels_for_unavailable_models=True))
        runner.run(service.start())
        yield lambda use: runner.run(use(service))
        runner.run(service.stop())
