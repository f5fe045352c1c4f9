from __future__ import annotations

from typing import Any

import pytest
from evaluator_runs import evaluate, export, live_model, single_label_rows, write_examples

from models.config import TaskConfig


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A candidate, a worse live model with its outputs in another order, and one run over both."""
    folder, task = tmp_path_factory.mktemp("single"), TaskConfig()
    rows, targets, probabilities = single_label_rows()
    examples = write_examples(folder / "examples", {"train": rows[:3], "eval": rows[:3], "test": rows})
    model = export(folder / "model", task)
    live = live_model(export(folder / "live", task, labels=("naïve", "good", "bad")), 17)
    summary, blessing = evaluate(
        folder,
        task,
        examples,
        model,
        live,
        slices=("label", "text_length", "source"),
        thresholds={
            "accuracy": {"min": 0.5, "max_loss_to_live": 0.0, "slices": ("label", "source=site 1", "a=b=yes=c")}
        },
    )
    return {
        "folder": folder,
        "examples": examples,
        "model": model,
        "live": live,
        "targets": targets,
        "probabilities": probabilities,
        "rows": rows,
        "summary": summary,
        "blessing": blessing,
    }
