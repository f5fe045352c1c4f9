"""The five package names are ours, and the light modules stay light."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("models", "tflite", "serving", "components", "pipeline")
LIGHT = (
    "pipeline.cli",
    "pipeline.config",
    "pipeline.loading",
    "pipeline.preflight",
    "pipeline.init",
    "pipeline.run",
    "models.presets",
    "serving.versions",
    "serving.client",
    "serving.deploy.render",
    "serving.deploy.release",
    "pipeline.deploy",
    "pipeline.remote",
    "pipeline.kubeflow.checks",
    "pipeline.kubeflow.places",
    "pipeline.kubeflow.entrypoint",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_resolves_to_this_tree(package: str, repository: Path) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).parent == repository / package


def test_no_installed_distribution_owns_a_package() -> None:
    owners = importlib.metadata.packages_distributions()
    strangers = {name: [d for d in owners.get(name, []) if d != "transom"] for name in PACKAGES}
    assert not any(strangers.values()), strangers


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_neither_tensorflow_nor_tfx(module: str, repository: Path) -> None:
    code = (
        f"import sys, {module}; print([m for m in ('tensorflow', 'keras', 'tfx', 'apache_beam') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
