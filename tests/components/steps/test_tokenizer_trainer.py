"""The step that learns the vocabulary and the labels."""

from __future__ import annotations

import json
from pathlib import Path

from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from components.config import DataConfig
from components.steps.example_gen import example_gen
from components.steps.tokenizer_trainer import TokenizerTrainer
from models.config import EncoderConfig, TaskConfig, TokenizerConfig
from tflite.host.labels import LabelSpace


def test_labels_missing_from_the_configuration_pass_if_the_gate_allows_them(tmp_path: Path) -> None:
    """The gate advises `unseen_label: warn`: no later step may then refuse what it let through."""
    rows = [{"text": f"text {n}", "label": ["1", 2.0, "other"][n % 3]} for n in range(30)]
    for name in ("train", "eval"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = TaskConfig(labels=("2", "1.0"))
    examples = example_gen(DataConfig(train="train.jsonl", eval="eval.jsonl"), task, tmp_path)
    learner = TokenizerTrainer(
        examples.outputs["examples"], task=task, tokenizer=TokenizerConfig(), model=EncoderConfig()
    )
    LocalDagRunner().run(
        pipeline.Pipeline(
            "test",
            str(tmp_path / "root"),
            components=[examples, learner],
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(tmp_path / "m.sqlite")),
        )
    )
    (folder,) = (tmp_path / "root" / "TokenizerTrainer" / "tokenizer").iterdir()
    assert LabelSpace.load(folder) == LabelSpace(labels=("2", "1"), counts=(10, 10), rows=30)
