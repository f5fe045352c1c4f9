"""`edge`: which bundles are exported, what their manifests say, and which of them is chosen."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import tiny_exports
from setting_effects import Setting, scratch, setting
from tiny_artifacts import write_examples

from components.config import CardConfig
from components.model_gates.edge_rows import edge_rows
from components.model_gates.variant_export import export_variants
from models.config import TaskConfig
from tflite.config import EdgeConfig
from tflite.host.manifest import Manifest
from tflite.measure.cost import Cost, Latency
from tflite.measure.parity import Parity, Quality
from tflite.measure.variant_choice import Candidate, choose_variant

TEXTS = ("a good film", "", "Café 好", "bad " * 30, "fine", "good bad good", "un film bad, cafe!", "so good")
SHORT = {"edge.lengths": [8], "edge.variants": ["float32"]}


def write_rows(folder: Path, kind: str) -> Any:
    """The texts in both splits, as examples for a kind of tiny model."""
    task, labels = tiny_exports.KINDS[kind]
    answers = [labels.labels[index % len(labels.labels)] for index in range(len(TEXTS))]
    rows = zip(TEXTS, answers, strict=True)
    return write_examples(folder, [{task.text: text.encode(), task.label: answer.encode()} for text, answer in rows])


@functools.cache
def project() -> tuple[Path, Any]:
    """A tiny exported model, and rows of its table."""
    folder = scratch()
    exported = tiny_exports.export("single", folder / "model" / "Format-Serving")
    return exported.folder, write_rows(folder / "rows", "single")


@functools.cache
def _bundles(task: str, config: str, card: str) -> Path:
    folder, rows = project()
    target = scratch()
    export_variants(
        folder,
        rows,
        target,
        TaskConfig.model_validate_json(task),
        EdgeConfig.model_validate_json(config),
        CardConfig.model_validate_json(card),
    )
    return target


def made(here: Setting) -> Path:
    """The folder of the EdgeExporter's bundles, each in a folder of its own."""
    properties = here.steps["EdgeExporter"]
    return _bundles(properties["task"], properties["config"], properties["card"])


def metadata(here: Setting) -> bytes:
    return (made(here) / "float32" / "model.tflite").read_bytes()


TEXT = {"task.text": "review"}


@setting("edge.variants", ["float32"], ["float16"], base={**TEXT, "edge.lengths": [8]}, steps="EdgeExporter EdgeGate")
def _(a: Setting, b: Setting) -> None:
    names = [{path.name for path in made(here).iterdir() if path.is_dir()} for here in (a, b)]
    assert names == [{"float32"}, {"float32", "float16"}]  # always float32, with which the others are compared


@setting("edge.lengths", [8], [8, 16], base={**TEXT, "edge.variants": ["float32"]}, steps="EdgeExporter EdgeGate")
def _(a: Setting, b: Setting) -> None:
    assert [Manifest.load(made(here) / "float32").lengths for here in (a, b)] == [(8,), (8, 16)]


@setting("edge.rows", 3, 6, steps="EdgeGate")
def _(a: Setting, b: Setting) -> None:
    _, rows = project()
    task = tiny_exports.KINDS["single"][0]
    assert [len(edge_rows(rows, "eval", task, here.edge.rows)) for here in (a, b)] == [3, 6]


@setting("edge.directory", None, "phones", steps="Pusher")
def _(a: Setting, b: Setting) -> None:
    assert b.paths.edge == b.folder.resolve() / "phones" != a.paths.edge
    assert Path(b.steps["Pusher"]["edge_directory"]) == b.paths.edge


_PARITY = Parity(
    rows=400,
    other_token_ids=0,
    not_finite=0,
    max_logit=0.1,
    max_difference=0.01,
    agreement=0.97,
    quality=(Quality("", 400, 0.9, 0.88, 0.02), Quality("label=a", 40, 0.9, 0.82, 0.08)),
)
_COST = Cost(2_000_000, 5.0, 9_000_000, 1, (Latency("classify_8", 2.0, 2.2),))
_FLOAT32 = Cost(8_000_000, 5.0, 9_000_000, 1, (Latency("classify_8", 4.0, 4.4),))
# The same as in the file above.
_LAX = {"edge.min_agreement": 0.5, "edge.max_loss": 0.5, "edge.max_slice_loss": 0.5}


def passes(here: Setting) -> bool:
    """Whether the EdgeGate accepts a file of two megabytes, twice as fast as float32 and slightly worse."""
    candidate = Candidate("float16", _PARITY, _COST, ("FULLY_CONNECTED", "GATHER"))
    return bool(choose_variant([candidate], _FLOAT32, here.edge)["blessed"])


for _key, _lax, _strict in (
    ("min_agreement", 0.9, 0.99),
    ("max_loss", 0.03, 0.01),
    ("max_slice_loss", 0.1, 0.03),
    ("budget.megabytes", 3.0, 1.0),
    ("budget.memory_megabytes", 10.0, 5.0),
    ("budget.latency_ratio", 0.6, 0.4),
    ("budget.operations", ["FULLY_CONNECTED", "GATHER"], ["FULLY_CONNECTED"]),
):

    @setting(
        f"edge.{_key}",
        _lax,
        _strict,
        base={key: value for key, value in _LAX.items() if key != f"edge.{_key}"},
        steps="EdgeGate",
    )
    def _(a: Setting, b: Setting) -> None:
        assert [passes(here) for here in (a, b)] == [True, False]
