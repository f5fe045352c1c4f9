"""Runs of ExampleGen alone."""

from __future__ import annotations

import csv
from pathlib import Path

from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types import artifact_utils, standard_artifacts

from components.config import DataConfig
from components.data.rows import Record
from components.lineage.lineage_facts import DataFacts
from components.lineage.table_facts import TABLES_FILE
from components.steps.example_gen import example_gen
from components.tf_examples import from_example, read_split
from models.config import TaskConfig, TokenizerConfig

Splits = dict[str, list[Record]]


def write_csv(path: Path, rows: list[tuple], header: tuple = ("text", "label")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


class Project:
    """A folder with tables and a TFX pipeline of ExampleGen alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, data: DataConfig, task: TaskConfig | None = None, tokenizer: TokenizerConfig | None = None) -> Splits:
        """Runs the pipeline and reads the newest examples."""
        task = task or TaskConfig()
        component = example_gen(data, task, self.folder, tokenizer=tokenizer)
        connection = metadata.sqlite_metadata_connection_config(str(self.folder / "metadata.sqlite"))
        LocalDagRunner().run(
            pipeline.Pipeline(
                "test",
                str(self.folder / "root"),
                components=[component],
                enable_cache=True,
                metadata_connection_config=connection,
            )
        )
        examples = standard_artifacts.Examples()
        examples.uri = str(self.executions()[-1])
        names = ["train", "eval", *(["test"] if data.path or data.test else [])]
        examples.split_names = artifact_utils.encode_split_names(names)
        written = {f"Split-{name}" for name in names} | {TABLES_FILE}
        assert {path.name for path in Path(examples.uri).iterdir()} == written
        return {name: [from_example(item, task) for item in read_split(examples, name)] for name in names}

    def tables(self) -> DataFacts:
        """What the newest execution has noted about the tables."""
        text = (self.executions()[-1] / TABLES_FILE).read_text(encoding="utf-8")
        return DataFacts.model_validate_json(text)

    def executions(self) -> list[Path]:
        """The folders of all executions that wrote examples, in order."""
        return sorted((self.folder / "root" / "ExampleGen" / "examples").iterdir(), key=lambda path: int(path.name))
