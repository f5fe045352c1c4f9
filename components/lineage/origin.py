"""The program, the machine and the packages with which a model is trained. No TensorFlow."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from components.fingerprint import fingerprint
from components.lineage.lineage_facts import (
    BackendFacts,
    CheckoutFacts,
    CodeFacts,
    EnvironmentFacts,
    Origin,
    PresetFacts,
    ProgramFacts,
)
from models import runtime
from models.training.elsewhere.environments import given_interpreter, lock_digest, require_interpreter
from models.training.elsewhere.installed_packages import package_versions

STEP_CODE: Mapping[str, tuple[str, ...]] = {
    "ExampleGen": ("components.steps.example_gen",),
    "TokenizerTrainer": ("components.steps.tokenizer_trainer",),
    "Transform": ("components.steps.transform",),
    "Trainer": ("components.steps.trainer",),
}
"""The steps whose code decides the weights, and the modules of each, as in its cache key (a test compares them)."""
PACKAGES = (
    "tensorflow",
    "tensorflow-text",
    "keras",
    "keras-hub",
    "tfx",
    "apache-beam",
    "numpy",
    "scipy",
    "scikit-learn",
    "sentencepiece",
)
"""The packages that compute something of a model."""
_BACKEND_PACKAGES = ("python", "jax", "jaxlib", "torch", "keras", "keras-hub", "numpy")
_CHECKOUT = Path(__file__).resolve().parents[2]
_LOCK = "requirements.lock"
_GIT_SECONDS = 20  # a large checkout on a network file system; usually 0.05


def origin(backend: str, preset: PresetFacts | None = None) -> Origin:
    """The facts of a training that ends now, on the framework `backend`."""
    return Origin(at=utc_now(), code=code_facts(), environment=environment_facts(backend), preset=preset)


def utc_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def code_facts() -> CodeFacts:
    """The program that runs, with the fingerprints of its steps."""
    steps = {step: fingerprint(*modules) for step, modules in STEP_CODE.items()}
    return CodeFacts(steps=steps, **program_facts().model_dump())


def program_facts() -> ProgramFacts:
    """The program that runs."""
    found = checkout_facts(_CHECKOUT) if (_CHECKOUT / ".git").exists() else CheckoutFacts()
    return ProgramFacts(transom=_versions(["transom"]).get("transom"), **found.model_dump())


def checkout_facts(folder: Path) -> CheckoutFacts:
    """Commit of the checkout that a folder belongs to, and whether tracked files differ; without git or a checkout,
    neither."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return CheckoutFacts()
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return CheckoutFacts(commit=commit.strip(), uncommitted=None if changes is None else bool(changes.strip()))


def environment_facts(backend: str) -> EnvironmentFacts:
    """The machine, and what is installed here; for another framework than TensorFlow also in its environment."""
    cpu, lock = runtime.cpu_facts(), _CHECKOUT / _LOCK
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return EnvironmentFacts(
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=cpu["cpu"],
        features=cpu["features"],
        cores=cpu["cores"],
        threads=int(threads) if threads.isdecimal() and int(threads) else cpu["cores"],
        lock=_digest(lock),
        packages=_versions(PACKAGES),
        backend=None if backend == "tensorflow" else _backend_facts(backend),
    )


def _backend_facts(framework: str) -> BackendFacts:
    found = package_versions(require_interpreter(framework))
    return BackendFacts(
        framework=framework,
        lock=lock_digest(framework) if given_interpreter(framework) is None else None,
        packages={name: found[name] for name in _BACKEND_PACKAGES if name in found},
    )


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints about the checkout around a folder; None if it cannot tell.

    It writes nothing there, and asks nobody. Git's own variables, which a hook sets, would name another checkout.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding=sys.getfilesystemencoding(),
            errors="replace",
            env={**kept, "LC_ALL": "C"},
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
