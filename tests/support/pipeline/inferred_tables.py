"""Tables as people write them, for the tests of `transom init`."""

from __future__ import annotations

import csv
from pathlib import Path

from pipeline.config import ProjectConfig
from pipeline.configuration.yaml_text import read_yaml


def config_of(text: str) -> ProjectConfig:
    return ProjectConfig.model_validate(read_yaml(text))


def write_csv(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([header, *rows])
    return path


def sentence(number: int) -> str:
    return f"the {number}th sentence, with some words in it"


LINES = "".join(f"good film {n},pos\nbad film {n},neg\n" for n in range(20))
