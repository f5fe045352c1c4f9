"""Programs that are kept do what traced ones do, and are found by all that decides them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import compile_cache
from models.compile_cache import CompileCache
from models.config import TaskConfig
from models.training.batches import Batches
from models.training.frameworks.contract import make_predictor, make_step
from models.training.frameworks.devices import default_device
from models.training.frameworks.tensorflow_programs import KeptGraphs, Program
from models.training.loss import row_loss
from models.training.optimizer import make_optimizer
from models.training_config import TrainConfig, Xla

# A training in a process of its own, in which other things were made before.
PROGRAM = """
import sys, tempfile
from pathlib import Path
from models import compile_cache
from models.runtime import prepare
prepare()
assert compile_cache.use("auto", lambda: Path(tempfile.mkdtemp()))
import tensorflow as tf
for _ in range(int(sys.argv[1])):
    tf.function(lambda x: x + 1.0)(tf.ones([2]))
sys.path.insert(0, "tests/models/training")
from tests.models.training.frameworks.test_tensorflow_programs import trained
import tiny
print(*trained(tiny, xla={"True": True, "parts": "parts"}[sys.argv[2]]))
"""


def trained(
    tiny: ModuleType, *, xla: Xla = False, rate: float = 0.01, seed: int = 0, key: str | None = "k"
) -> list[float]:
    """The losses of three steps, and a logit after them."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model, config, devices = tiny.model(dropout=0.2), TrainConfig(learning_rate=rate), default_device()
    loss = row_loss(TaskConfig(), config, tiny.labels(tiny.rows(8)))
    step = make_step(model, make_optimizer(model, config, steps=10), loss, devices, xla=xla, accumulate=2, key=key)
    predictor = make_predictor(model, devices, xla=xla, key=key)
    batches = Batches(tiny.rows(8), (20,), 4, pad_id=0)
    group = [batches.make_batch(rows) for rows in batches.order(0)]
    losses = [float(step(group, [np.ones(4)] * 2, number).loss) for number in range(3)]
    return [*losses, float(predictor(group[0].features)[0, 0])]


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CompileCache:
    """The cache of this process, without XLA's part, which is switched on before TensorFlow is loaded."""
    for name in ("shared", "private"):
        (tmp_path / name).mkdir()
    found = CompileCache(tmp_path / "shared", tmp_path / "private")
    monkeypatch.setattr(compile_cache, "_used", found)
    return found


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The roles of the programs that were traced."""
    roles: list[str] = []
    make, keep = Program._make, KeptGraphs.keep

    def noted(program: Program, *arguments: Any) -> Any:
        monkeypatch.setattr(KeptGraphs, "keep", lambda *a: roles.append(program._role) or keep(*a))
        return make(program, *arguments)

    monkeypatch.setattr(Program, "_make", noted)
    return roles


@pytest.mark.slow_variants
@pytest.mark.parametrize(("xla", "gradients"), [(False, "gradients"), ("parts", "gradients in parts")])
def test_kept_programs_train_as_traced_ones(
    tiny: ModuleType, cache: CompileCache, traced: list[str], xla: Xla, gradients: str
) -> None:
    expected = trained(tiny, xla=xla, key=None)
    assert traced == []
    assert trained(tiny, xla=xla) == expected
    assert sorted(traced) == [gradients, "logits", "sum", "update"]
    assert trained(tiny, xla=xla) == expected
    assert len(traced) == 4
    for other in ({"rate": 0.02}, {"seed": 1}):  # these are inputs
        assert trained(tiny, xla=xla, **other) == trained(tiny, xla=xla, **other, key=None) != expected
    assert len(traced) == 4


def test_another_key_shape_or_variable_is_another_program(tmp_path: Path, cache: CompileCache) -> None:
    variables = [keras.Variable(np.ones(2, np.float32), name=name) for name in ("a", "b")]
    keys = set()
    for key, chosen in (("k", variables), ("l", variables), ("k", variables[:1]), ("k", variables[::-1])):
        kept = KeptGraphs(cache, key, chosen)
        keys |= {kept.key(role, [shape]) for role in ("x", "y") for shape in ((1, 2), (2, 1))}
    assert len(keys) == 16


def test_what_cannot_be_kept_runs_all_the_same(cache: CompileCache, tmp_path: Path) -> None:
    known, unknown = (keras.Variable(np.full(2, value, np.float32)) for value in (1.0, 2.0))
    kept = KeptGraphs(cache, "k", [known])
    calls: dict[str, Callable[[Any], list[Any]]] = {
        "a variable that is not named": lambda x: [x + unknown.value],
        "a function that calls another": lambda x: [tf.function(lambda y: tf.function(lambda z: z + 2.0)(y))(x)],
    }
    for role, function in calls.items():
        (found,) = Program(function, role, xla=False, kept=kept)(np.zeros(2, np.float32))
        assert np.asarray(found).tolist() == [2.0, 2.0], role
    assert list((tmp_path / "shared").iterdir()) == []
    (found,) = Program(lambda x: [x + known.value], "kept", xla=False, kept=kept)(np.zeros(2, np.float32))
    assert np.asarray(found).tolist() == [1.0, 1.0]
    assert len(list((tmp_path / "shared").iterdir())) == 1


def test_a_kept_program_reads_the_variables_of_now(cache: CompileCache) -> None:
    for value in (1.0, 5.0):
        variable = keras.Variable(np.full(2, value, np.float32), name="v")
        times: Callable[[Any], list[Any]] = lambda x, by=variable: [x * by.value]  # noqa: E731
        program = Program(times, "r", xla=False, kept=KeptGraphs(cache, "k", [variable]))
        assert np.asarray(program(np.ones(2, np.float32))[0]).tolist() == [value, value]
        variable.assign([7.0, 7.0])
        assert np.asarray(program(np.ones(2, np.float32))[0]).tolist() == [7.0, 7.0]


@pytest.mark.slow
@pytest.mark.parametrize("xla", ["True", "parts"])
def test_another_process_compiles_nothing_and_survives_damaged_entries(
    tmp_path: Path, repository: Path, xla: str
) -> None:
    environment = {**os.environ, "TRANSOM_COMPILE_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}

    def values(made_before: int) -> str:
        command = [sys.executable, "-c", PROGRAM, str(made_before), xla]
        done = subprocess.run(
            command, cwd=repository, env=environment, capture_output=True, text=True, check=True, timeout=200
        )
        return done.stdout

    def written() -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in tmp_path.glob("cache/*/*.zip")}

    first = values(0)
    entries = written()
    compiled = {"True": 2, "parts": 1}[xla]
    assert sorted(name.split("-")[0] for name in entries) == ["compiled"] * compiled + ["graph"] * 4
    assert values(3) == first
    assert written() == entries
    for path in tmp_path.glob("cache/*/*.zip"):
        path.write_bytes(path.read_bytes()[:-100])
    assert values(0) == first
    assert set(written()) == set(entries)
