"""Writes the manifests of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from serving.deploy import compose, kserve, kubernetes, server_files
from serving.deploy.plan import DeployPlan
from serving.deploy.server_files import files
from serving.errors import DeployError

CONFIG_FOLDER = "config"
COMPOSE_FILE = "compose.yaml"
# Every manifest contains a label, or the containers' path of the server's files.
_MARKS = ("app.kubernetes.io/managed-by: transom", f"{server_files.CONFIG_FOLDER}/")


def render(plan: DeployPlan) -> dict[str, str]:
    """Path of each file, relative to the output folder, to its content."""
    if plan.target == "compose":
        config_files = {f"{CONFIG_FOLDER}/{name}": text for name, text in files(plan).items()}
        return config_files | {COMPOSE_FILE: to_yaml([compose.manifest(plan, CONFIG_FOLDER)])}
    manifests = kserve.manifests(plan) if plan.target == "kserve" else kubernetes.manifests(plan)
    return {name: to_yaml(resources) for name, resources in manifests.items()}


def write(plan: DeployPlan, out: Path) -> list[Path]:
    """Writes the files under `out`, replacing those of an earlier rendering; other files stay.

    Raises:
        DeployError: they cannot be written, or a file of the same name was not rendered by Transom.
    """
    written = []
    files = render(plan)
    try:
        for name, text in files.items():
            if not _is_replaceable(out, name, text):
                raise DeployError(
                    f"the manifests in {out}",
                    got=f"a file {name} that Transom did not write",
                    expected="a new folder, or one from an earlier rendering",
                    fix="name another folder with --out, or move the file away",
                )
        for name, text in files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise DeployError(
            f"the manifests in {out}", got=error.strerror or str(error), expected="a writable folder"
        ) from None
    return written


def _is_replaceable(out: Path, name: str, text: str) -> bool:
    """Whether the file does not exist or was rendered earlier, even if edited since."""
    path = out / name
    if not path.is_file():
        return not path.exists()
    existing = path.read_text(encoding="utf-8", errors="replace")
    if existing == text or any(mark in existing for mark in _MARKS):
        return True
    # The server's files contain no mark, but the manifest next to their folder does.
    manifest = out / COMPOSE_FILE
    return path.suffix != ".yaml" and manifest.is_file() and _is_replaceable(out, COMPOSE_FILE, "")


class _Dumper(yaml.SafeDumper):
    """Writes multi-line texts as blocks, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def to_yaml(documents: list[Any]) -> str:
    """YAML of the documents, with keys in the given order."""
    return str(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=120, explicit_start=len(documents) > 1))
