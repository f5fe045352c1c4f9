"""The edge steps on real, tiny exports: bundles are made, measured, chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tfx.types import standard_artifacts
from tiny_artifacts import artifact, write_examples
from tiny_exports import KINDS, Exported

from components import artifacts
from components.config import CardConfig, EvaluationConfig
from components.model_gates import edge_gate_report
from components.model_gates.edge_rows import edge_rows
from components.model_gates.variant_export import export_variants
from components.steps.shipping import edge_exporter, edge_gate
from models.config import TaskConfig
from models.errors import ConfigError, ModelError
from tflite.bundle.bundle_folder import check_golden
from tflite.bundle_export import Float32Model
from tflite.config import EdgeConfig
from tflite.host.manifest import Manifest

TEXTS = ("a good film", "", "Café 好", "bad " * 30, "fine", "good bad good", "un film bad, cafe!", "so good")
TARGETS = {"single": (b"good", b"bad", None), "pair": (b"no",), "multi": (b"x", None), "number": (1000.0, 1070.0, None)}
ALL = EdgeConfig(variants=("int8", "float32", "dynamic_int8"), lengths=(8, 32), max_loss=1, max_slice_loss=1)


def write_rows(folder: Path, kind: str) -> Any:
    """Both splits hold the texts, the second texts in reverse order, and another column."""
    task, targets = KINDS[kind][0], TARGETS[kind]
    rows = []
    for index, text in enumerate(TEXTS):
        row = {task.text: text.encode(), task.label: targets[index % len(targets)]}
        if task.text_pair is not None:
            row[task.text_pair] = TEXTS[-1 - index].encode()
        rows.append({**row, "place": b"home" if index % 2 else b"cinema"})
    return write_examples(folder, rows)


def run(exported: Exported, folder: Path, kind: str, config: EdgeConfig) -> tuple[Path, dict[str, Any], Any]:
    """Both executors, as the pipeline runs them: the bundles' folder, the report, the blessing."""
    model = artifact(standard_artifacts.Model, exported.folder.parent)
    examples = write_rows(folder / "examples", kind)
    bundles, blessing = (
        artifact(artifacts.EdgeBundles, folder / "bundles"),
        artifact(standard_artifacts.InfraBlessing, folder / "blessing"),
    )
    given = {"examples": [examples], "model": [model]}
    parameters = {
        "task": exported.task.model_dump_json(),
        "card": "{}",
        "config": config.model_dump_json(),
        "evaluation": EvaluationConfig(slices=("place",), min_slice_size=3).model_dump_json(),
    }
    edge_exporter.Executor().Do(given, {"bundles": [bundles]}, parameters)
    edge_gate.Executor().Do({**given, "bundles": [bundles]}, {"blessing": [blessing]}, parameters)
    return folder / "bundles", json.loads((folder / "blessing" / "edge_report.json").read_text()), blessing


@pytest.mark.slow_variants
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_gets_a_bundle(kind: str, exports: dict[str, Exported], tmp_path: Path) -> None:
    bundles, report, blessing = run(exports[kind], tmp_path, kind, ALL)
    assert {path.name for path in bundles.iterdir()} == {*ALL.variants, "bundles.json"}
    assert report["blessed"], report
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_string_custom_property("variant") == report["variant"]
    assert report["verdict"] == blessing.get_string_custom_property("verdict")
    by_name = {row["variant"]: row for row in report["variants"]}
    float32 = by_name["float32"]["parity"]
    assert (float32["rows"], float32["other_token_ids"], float32["not_finite"]) == (len(TEXTS), 0, 0)
    assert float32["agreement"] == 1
    assert {part["slice"] for part in float32["quality"]} == {"", "place=home", "place=cinema"}
    assert by_name["float32"]["latency_ratio"] == 1
    assert [each["signature"][-2:] for each in by_name["int8"]["cost"]["latency_ms"]] == ["_8", "32"]
    manifest = Manifest.load(bundles / report["variant"])
    assert manifest.lengths == (8, 32)
    check_golden(bundles / report["variant"])


def test_a_variant_that_cannot_be_exported_is_reported_and_stops_nothing(
    exports: dict[str, Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle = Float32Model.write_bundle

    def refuse(self: Float32Model, target: Path, variant: str, *rest: Any, **more: Any) -> Manifest:
        if variant == "dynamic_int8":
            raise ModelError("variant dynamic_int8 cannot be made", got="NoKernel")
        return write_bundle(self, target, variant, *rest, **more)

    monkeypatch.setattr(Float32Model, "write_bundle", refuse)
    config = EdgeConfig(variants=("dynamic_int8", "float16"), max_slice_loss=1)
    _, report, _ = run(exports["single"], tmp_path, "single", config)
    assert report["variant"] == "float16"
    whys = {row["variant"]: row["why"] for row in report["variants"]}
    assert whys["dynamic_int8"] == "variant dynamic_int8 cannot be made: NoKernel"


def test_a_bundle_that_cannot_be_measured_is_reported_and_stops_nothing(
    exports: dict[str, Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_cost = edge_gate_report.measure_cost

    def ends(bundle: Path) -> Any:
        if bundle.name in ("dynamic_int8", "float32"):
            raise ModelError(f"{bundle} cannot be measured", got="exit code -11")
        return measure_cost(bundle)

    monkeypatch.setattr(edge_gate_report, "measure_cost", ends)
    config = EdgeConfig(variants=("dynamic_int8", "float16"), max_slice_loss=1)
    _, report, blessing = run(exports["single"], tmp_path, "single", config)
    assert report["variant"] == "float16"
    assert blessing.get_int_custom_property("again") == 1, (
        "its process may have been killed, which may not happen in the next run"
    )
    rows = {row["variant"]: row for row in report["variants"]}
    assert rows["dynamic_int8"]["why"].endswith("cannot be measured: exit code -11")
    assert rows["float16"]["latency_ratio"] is None


def test_a_model_that_litert_cannot_express(
    exports: dict[str, Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> bytes:
        raise ModelError("the model needs operations that are not built into LiteRT", got="FlexErf")

    monkeypatch.setattr("tflite.bundle_export.convert", refuse)
    _, report, blessing = run(exports["single"], tmp_path, "single", EdgeConfig())
    assert not report["blessed"]
    assert "FlexErf" in report["verdict"]
    assert blessing.get_string_custom_property("variant") == ""


def test_a_length_that_the_model_does_not_have(exports: dict[str, Exported], tmp_path: Path) -> None:
    examples, single = write_rows(tmp_path / "examples", "single"), exports["single"]
    config = EdgeConfig(lengths=(4096,))
    with pytest.raises(ConfigError, match="lengths"):
        export_variants(single.folder, examples, tmp_path, single.task, config, CardConfig())


def test_rows_are_the_same_in_any_order_and_know_their_slices(tmp_path: Path) -> None:
    task = TaskConfig(text="review")
    rows = edge_rows(write_rows(tmp_path / "e", "single"), "eval", task, 5, ("place", "label", "text_length"))
    assert rows == edge_rows(
        write_rows(tmp_path / "again", "single"), "eval", task, 5, ("place", "label", "text_length")
    )
    assert len(rows) == 5
    everything = edge_rows(write_rows(tmp_path / "all", "single"), "eval", task, 99, ("place", "label", "text_length"))
    assert {row.text for row in everything} == set(TEXTS)
    row = next(row for row in everything if row.text == "a good film")
    assert row.target == ("good",)
    assert row.slices == ("place=cinema", "label=good", "text_length=0-15 characters")
    assert next(row for row in everything if row.text == "Café 好").target is None
    assert next(row for row in everything if row.text == "Café 好").slices[1] == "label=(none)"


def test_an_empty_set_of_labels_is_a_valid_target(tmp_path: Path) -> None:
    rows = edge_rows(write_rows(tmp_path / "e", "multi"), "eval", KINDS["multi"][0], 99)
    assert {row.target for row in rows} == {("x",), ()}


def test_without_rows_to_compare_no_bundle_is_blessed(exports: dict[str, Exported], tmp_path: Path) -> None:
    (tmp_path / "bundles.json").write_text('{"float32": "", "dynamic_int8": "", "float16": "cannot be made"}')
    report = edge_gate_report.edge_gate_report(exports["single"].folder, tmp_path, [], EdgeConfig(), 20)
    assert not report["blessed"]
    assert {row["variant"]: row["why"] for row in report["variants"]} == {
        "dynamic_int8": "the eval split has no row on which it could be compared with Keras",
        "float16": "cannot be made",
    }
