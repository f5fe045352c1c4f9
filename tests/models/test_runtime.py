from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models import runtime


def _python(repository: Path, program: str, **variables: str) -> Any:
    hidden = ("TF_ENABLE_ONEDNN_OPTS", "TF_USE_LEGACY_KERAS", "KERAS_BACKEND")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    environment = {**kept, "PYTHONPATH": str(repository), **variables}
    command = [sys.executable, "-c", f"import json, os, sys\nfrom models import runtime\n{program}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("setting", "value", "state"), [("auto", "1", "on"), ("on", "1", "on"), ("off", "0", "off")])
def test_the_decision_is_in_the_environment(repository: Path, setting: str, value: str, state: str) -> None:
    program = f"""
runtime.prepare({setting!r})
names = ("TF_ENABLE_ONEDNN_OPTS", "TF_USE_LEGACY_KERAS", "KERAS_BACKEND")
print(json.dumps([[os.environ[n] for n in names], runtime.onednn_state(), "tensorflow" in sys.modules]))
"""
    assert _python(repository, program) == [[value, "0", "tensorflow"], state, False]


def test_what_the_configuration_says_wins_over_the_environment(repository: Path) -> None:
    program = "runtime.prepare(); print(json.dumps(runtime.onednn_state()))"
    assert _python(repository, program, TF_ENABLE_ONEDNN_OPTS="0") == "on"


def test_another_decision_comes_too_late(repository: Path) -> None:
    program = """
from models.errors import TrainingError
runtime.prepare("on")
import tensorflow
runtime.prepare("on")
runtime.prepare("auto")
try:
    runtime.prepare("off")
except TrainingError as error:
    print(json.dumps(str(error)))
"""
    message = _python(repository, program)
    assert "TF_ENABLE_ONEDNN_OPTS=1" in message
    assert "TF_ENABLE_ONEDNN_OPTS=0" in message
    assert "new process" in message


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000\n", None), ("150000 100000\n", 2), ("20000 100000\n", 1), ("nonsense", None)]
)
def test_the_containers_cpu_limit(tmp_path: Path, text: str, cores: int | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert runtime.cpu_quota(file) == cores
    assert runtime.cpu_quota(tmp_path / "absent") is None


def test_the_cpu_is_described_as_far_as_it_is_known(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(
        "model name\t: A CPU\nflags\t\t: fpu avx2 amx_bf16 avx512f_not\n\nmodel name\t: A CPU\nflags: avx2\n"
    )
    facts = runtime.cpu_facts(file)
    assert (facts["cpu"], facts["features"]) == ("A CPU", ["avx2", "amx_bf16"])
    assert facts["cores"] >= 1
    unknown = runtime.cpu_facts(tmp_path / "absent")
    assert unknown["features"] == []
    assert unknown["cpu"]


_THREADS = """
import sys
from models import runtime
runtime.prepare()
import tensorflow as tf
facts = {"cores": int(sys.argv[1]), "features": sys.argv[2].split()}
runtime.cpu_facts = lambda: facts
if sys.argv[3] == "late":
    tf.constant(1) + 1
runtime.one_thread_per_operation()
print(runtime.operations_at_once())
"""


@pytest.mark.slow_variants
@pytest.mark.parametrize(
    ("cores", "features", "when", "variables", "expected"),
    [
        (2, "avx512f", "early", {}, 2),
        (2, "avx512f", "early", {"TF_NUM_INTRAOP_THREADS": "2"}, 2),  # of a container's limit
        (2, "avx512f", "early", {"TF_NUM_INTRAOP_THREADS": "7"}, 1),
        (2, "avx512f", "late", {}, 1),
        (2, "avx2", "early", {}, 1),
        (4, "avx512f", "early", {}, 1),
    ],
)
def test_operations_run_side_by_side_on_two_cores_with_avx_512(
    cores: int, features: str, when: str, variables: dict[str, str], expected: int, repository: Path
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _THREADS, str(cores), features, when],
        env={**{name: value for name, value in os.environ.items() if "_THREADS" not in name}, **variables},
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(run.stdout) == expected


@pytest.mark.parametrize(
    ("features", "given", "added"),
    [
        ("avx2 avx512f", "", "--xla_cpu_prefer_vector_width=512"),
        ("avx512f", "--xla_dump_to=x", " --xla_cpu_prefer_vector_width=512"),
        ("avx512f", "--xla_cpu_prefer_vector_width=128", ""),
        ("avx512f", "flags.txt", ""),
        ("avx2", "", ""),
    ],
)
def test_xla_uses_whole_vectors_unless_told_otherwise(features: str, given: str, added: str, repository: Path) -> None:
    program = f"""
runtime.cpu_facts = lambda: dict(cores=2, features={features.split()})
runtime.prepare()
print(json.dumps([os.environ.get("XLA_FLAGS", ""), runtime.XLA_FLAGS_AS_GIVEN]))
"""
    assert _python(repository, program, XLA_FLAGS=given) == [given + added, given]
