"""Writes the manifests of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from serving.deploy import compose, kserve, kubernetes
from serving.deploy.plan import Plan
from serving.deploy.server_files import files
from serving.errors import DeployError

CONFIG_FOLDER = "config"


def render(plan: Plan) -> dict[str, str]:
    """Path of each file, relative to the output folder, to its content."""
    if plan.target == "compose":
        found = {f"{CONFIG_FOLDER}/{name}": text for name, text in files(plan).items()}
        return found | {"compose.yaml": to_yaml([compose.manifest(plan, CONFIG_FOLDER)])}
    made = kserve.manifests(plan) if plan.target == "kserve" else kubernetes.manifests(plan)
    return {name: to_yaml(resources) for name, resources in made.items()}


def write(plan: Plan, out: Path) -> list[Path]:
    """Writes the files under `out`, over those of an earlier rendering; what else is there stays.

    Raises:
        DeployError: they cannot be written.
    """
    written = []
    try:
        for name, text in render(plan).items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise DeployError(
            f"the manifests in {out}", got=error.strerror or str(error), expected="a folder that can be written to"
        ) from None
    return written


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, as a person would write them, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def to_yaml(documents: list[Any]) -> str:
    """YAML of some documents, keys in the order given."""
    return str(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=120, explicit_start=len(documents) > 1))
