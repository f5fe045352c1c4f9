"""The cost of a bundle, measured in a separate process."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_edge as tiny
from tiny_bundles import bundle

from models.errors import ModelError
from tflite.measure.cost import measure_cost


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("cost") / "single")


def test_the_measurements(single: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(single.parent)
    found = measure_cost(single.name, runs=5)
    assert found.bytes == (single / "model.tflite").stat().st_size
    assert [latency.signature for latency in found.latency_ms] == [f"classify_{length}" for length in tiny.LENGTHS]
    assert all(0 < latency.median <= latency.p90 for latency in found.latency_ms)
    # In this process, which has loaded TensorFlow, it would be hundreds of megabytes.
    assert 0 <= found.memory_bytes < 50_000_000


def test_a_bundle_that_cannot_be_run(single: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no edge bundle"):
        measure_cost(tmp_path)
    broken = tmp_path / "broken"
    bundle(broken)
    (broken / "model.tflite").write_bytes((broken / "model.tflite").read_bytes()[:500])
    with pytest.raises(ModelError, match="cannot be run"):
        measure_cost(broken)
