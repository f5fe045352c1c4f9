"""The house rules: package names, modules that stay light, sizes of files and folders, and what the guide names."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

PACKAGES = ("models", "tflite", "serving", "components", "pipeline")
LIGHT = (
    "pipeline.cli",
    "pipeline.config",
    "pipeline.configuration.loading",
    "pipeline.preflight",
    "pipeline.init.new_project",
    "pipeline.runs.pipeline_run",
    "pipeline.lineage.lineage_text",
    "pipeline.lineage.reproduction",
    "components.lineage.origin",
    "pipeline.inspection.debug_run",
    "pipeline.inspection.profile_run",
    "pipeline.reports.run_list",
    "pipeline.commands.suggestions",
    "pipeline.runs.local.step_processes",
    "pipeline.backends.installation",
    "pipeline.backends.backend_list",
    "models.presets.preset",
    "models.training.elsewhere.environments",
    "serving.publish.version_folders",
    "serving.client",
    "serving.deploy.render",
    "serving.deploy.release",
    "pipeline.commands.shipping.deploy",
    "pipeline.predict.served_predictions",
    "pipeline.kubeflow.target_checks",
    "pipeline.kubeflow.cluster_paths",
    "pipeline.kubeflow.entrypoint",
    "pipeline.doctor.examination",
    "pipeline.doctor.checks.project_checks",
    "pipeline.doctor.checks.pushed_version_checks",
    "pipeline.doctor.checks.cluster_checks",
    "pipeline.doctor.checks.accelerator_checks",
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


def _modules(repository: Path, *folders: str) -> list[Path]:
    """The modules under the folders, relative to the checkout."""
    return [path.relative_to(repository) for name in folders for path in sorted((repository / name).rglob("*.py"))]


def test_no_folder_has_over_fifteen_files_of_its_own(repository: Path) -> None:
    counted = Counter(str(path.parent) for path in _modules(repository, *PACKAGES, "tests"))
    assert {folder: count for folder, count in counted.items() if count > 15} == {}


def test_no_file_has_over_three_hundred_lines(repository: Path) -> None:
    files = _modules(repository, *PACKAGES, "tests", "benchmarks")
    lengths = {str(path): (repository / path).read_bytes().count(b"\n") for path in files}
    assert {path: lines for path, lines in lengths.items() if lines > 300} == {}


def test_no_two_modules_share_a_name(repository: Path) -> None:
    """Except for the names that mean the same in each package."""
    shared = {"__init__", "__main__", "config", "errors"}
    modules = Counter(path.stem for path in _modules(repository, *PACKAGES))
    assert {name for name, count in modules.items() if count > 1} <= shared


def test_every_room_says_what_it_is_for(repository: Path) -> None:
    rooms = [path for path in _modules(repository, *PACKAGES) if path.name == "__init__.py"]
    assert [str(room) for room in rooms if not (repository / room).read_text(encoding="utf-8").startswith('"""')] == []


def test_every_path_in_the_contributing_guide_exists(repository: Path) -> None:
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = "|".join((*PACKAGES, "tests", "benchmarks", "docs"))
    paths = re.findall(rf"`((?:{folders})/[\w./]+)`", text)
    assert len(paths) > 10
    assert [path for path in paths if not (repository / path).exists() and "NAME" not in path] == []


def test_the_guide_draws_every_room(repository: Path) -> None:
    drawing = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[3]
    rooms = {path.parts[1] for path in _modules(repository, *PACKAGES) if len(path.parts) > 2}
    assert {room for room in rooms if f"  {room}/ " not in drawing} == set()


def test_the_hooks_run_what_make_check_runs(repository: Path) -> None:
    """Hooks of ruff get the names of the files that changed, in place of a dot."""
    recipe = (repository / "Makefile").read_text(encoding="utf-8").split("\ncheck:")[1].split("\n\n")[0]
    commands = [line.split(" ||")[0].strip() for line in recipe.replace("$(BIN)", ".venv/bin").splitlines()[1:]]
    config = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (hooks,) = (repo["hooks"] for repo in config["repos"])
    entries = [re.sub(r"^bash -c '(.*)'$", r"\1", hook["entry"]).replace("--force-exclude", ".") for hook in hooks]
    assert entries == commands
    assert {hook["language"] for hook in hooks} == {"system"}  # which downloads nothing
