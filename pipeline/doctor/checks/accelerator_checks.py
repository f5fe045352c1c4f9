"""GPUs and TPUs: which the machine has, which each framework sees, and what `auto` means on the processor."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from models.training.elsewhere.environments import (
    FRAMEWORKS,
    environment,
    given_interpreter,
    install_command,
    python_variable,
)
from pipeline.doctor.device_queries import ENCODER, PRESET, SECONDS, Answer, Query, framework_query, tensorflow_query
from pipeline.doctor.finding import Check, Finding, Project, Status, from_error

TENSORFLOW = "tensorflow"
ROOT = Path("/")
_CUDA_LOCK = "uv pip install --require-hashes --no-deps -r requirements-cuda.lock"
# PCI's numbers of vendors, and of classes: displays, accelerators, and other peripherals, as some TPUs are.
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x1ae0": "Google"}
_CLASSES = ("0x03", "0x12", "0x0880")
_HIDING = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Hardware:
    """Accelerators that the system shows, whether or not a framework sees them.

    Attributes:
        cards: vendor and number of each kind on the PCI bus: {"NVIDIA": 2}.
        driver: the version of NVIDIA's driver; empty if it is not loaded.
        nodes: device files in /dev.
    """

    cards: Mapping[str, int]
    driver: str
    nodes: tuple[str, ...]

    @property
    def has_nvidia(self) -> bool:
        return "NVIDIA" in self.cards or any("nvidia" in node for node in self.nodes) or self.is_windows

    @property
    def is_windows(self) -> bool:
        """Whether this is Linux on Windows, whose GPU has neither a driver here nor a device file of its own."""
        return "/dev/dxg" in self.nodes

    @property
    def can_use_nvidia(self) -> bool:
        """Whether a framework with NVIDIA's libraries would see a GPU: a container sees the host's driver and cards
        even if it was started without them, but not their device files."""
        return self.is_windows or bool(self.driver and any("nvidia" in node for node in self.nodes))

    @property
    def has_tpu(self) -> bool:
        return "Google" in self.cards or any("accel" in node for node in self.nodes)


def start_queries(project: Project | None) -> dict[str, Query]:
    """Starts asking TensorFlow, and the other frameworks that are installed."""
    onednn = project.config.train.onednn if project is not None else "auto"
    queries = {TENSORFLOW: tensorflow_query(onednn)}
    for framework in FRAMEWORKS:
        with contextlib.suppress(Exception):  # the framework's check tells what is wrong with its environment
            own = environment(framework)
            python = given_interpreter(framework) or (own.python if own.version else None)
            if python is not None:
                queries[framework] = framework_query(framework, python)
    return queries


def checks(
    project: Project | None, queries: Mapping[str, Query], waiting: Callable[[str], None], root: Path = ROOT
) -> list[Check]:
    """The hardware first, then each framework, with its answer awaited."""
    found = find_hardware(root)

    def answer(framework: str) -> Answer:
        query = queries[framework]
        if not query.is_done():
            waiting(f"{framework} lists its devices (at most {SECONDS:.0f} s)")
        return query.answer()

    backend = project.config.train.backend if project is not None else TENSORFLOW

    def other(name: str) -> Iterator[Finding]:
        return other_framework(name, answer(name) if name in queries else None, found, is_used=name == backend)

    return [
        Check("hardware", lambda: hardware(found)),
        Check(TENSORFLOW, lambda: tensorflow(answer(TENSORFLOW), found, project)),
        *(Check(name, partial(other, name)) for name in FRAMEWORKS),
    ]


def find_hardware(root: Path = ROOT) -> Hardware:
    cards: dict[str, int] = {}
    for folder in sorted((root / "sys/bus/pci/devices").glob("*")):
        with contextlib.suppress(OSError):
            vendor = _VENDORS.get((folder / "vendor").read_text().strip())
            if vendor and (folder / "class").read_text().strip().startswith(_CLASSES):
                cards[vendor] = cards.get(vendor, 0) + 1
    driver = ""
    with contextlib.suppress(OSError):
        text = (root / "proc/driver/nvidia/version").read_text(errors="replace")
        version = re.search(r"Module\s.*?(\d+\.[\d.]+)", text)
        driver = version[1] if version else "of an unknown version"
    nodes = [node for node in (root / "dev").glob("*") if re.fullmatch(r"nvidia\d+|accel\d+|dxg|kfd", node.name)]
    return Hardware(cards, driver, tuple(sorted(f"/dev/{node.name}" for node in nodes)))


def hardware(found: Hardware) -> Iterator[Finding]:
    cards = ", ".join(f"{count} of {vendor}" for vendor, count in found.cards.items())
    parts = [f"on the PCI bus: {cards}" if cards else "", f"NVIDIA's driver {found.driver}" if found.driver else ""]
    text = "; ".join(part for part in (*parts, ", ".join(found.nodes)) if part)
    if not text:
        yield Finding("hardware", "ok", "no GPU and no TPU: trainings use the processor")
        return
    yield Finding("hardware", "ok", text)
    if found.has_nvidia and not found.can_use_nvidia:
        text = "an NVIDIA GPU, but " + ("no device file of it" if found.driver else "its driver is not loaded")
        remedy = "" if found.driver else "install NVIDIA's driver; "
        remedy += "a container sees GPUs only if it is started with them (`docker run --gpus all`)"
        yield Finding("hardware", "warn", text, remedy)
    for name in _HIDING:
        if os.environ.get(name, "all") in ("", "-1", "none", "void"):
            yield Finding("hardware", "note", f"{name}={os.environ[name]!r} hides the GPUs from every framework")
    if "AMD" in found.cards and not found.has_nvidia:
        yield Finding("hardware", "note", "nothing that Transom installs trains on AMD's GPUs")


def tensorflow(answer: Answer, found: Hardware, project: Project | None = None) -> Iterator[Finding]:
    """TensorFlow's devices, and what `auto` means on the first of them."""
    known = answer.known
    if answer.failure and "devices" not in known:
        remedy = (
            "see the findings about packages, files and glibc; `python -c 'import tensorflow'` shows the whole error"
        )
        yield Finding(TENSORFLOW, "error", f"does not work here: {answer.failure}", remedy)
        return
    devices = known["devices"]
    yield Finding(TENSORFLOW, "ok", f"{known['version']} sees {_counted(devices)}")
    if found.can_use_nvidia and not devices and not _is_hidden():
        yield Finding(
            TENSORFLOW, "warn", f"sees no GPU: {_gpu_reason(answer.stderr)}", f"in the checkout: `{_CUDA_LOCK}`"
        )
    if found.has_tpu and not devices:
        text = "sees no TPU: the lock's TensorFlow is for processors and GPUs"
        yield Finding(TENSORFLOW, "warn", text, "docs/kubeflow.md: the TPU needs `tensorflow-tpu` instead")
    if project is not None and project.config.train.strategy == "tpu" and not devices:
        yield Finding(TENSORFLOW, "error", "train.strategy is tpu, and there is none", "remove train.strategy")
    if answer.failure:
        text = f"what `auto` means cannot be told: {answer.failure}"
        yield Finding("auto", "warn", text, "see the findings about packages and files")
        return
    if project is None or project.config.train.backend == TENSORFLOW:
        yield from _auto(known, project)


def _auto(known: Mapping[str, Any], project: Project | None) -> Iterator[Finding]:
    """What a training would choose, decided by the same code: for the project's model, or for both kinds."""
    if known["onednn"] == "on":
        yield Finding("oneDNN", "ok", "on, as train.onednn: auto means on every processor")
    else:
        yield Finding("oneDNN", "note", "off, as train.onednn says: trainings may take up to 1.7 times as long")
    own = None if project is None else PRESET if project.config.model.type == "preset" else ENCODER
    for model, auto in known["auto"].items():
        if own not in (None, model):
            continue
        (precision, why), (xla, why_xla) = auto["precision"], auto["xla"]
        shown = {True: "on", False: "off", "parts": "in parts"}.get(xla, xla)
        yield Finding("auto", "ok", f"{model}: {precision} ({why}), XLA {shown} ({why_xla})")


def other_framework(name: str, answer: Answer | None, found: Hardware, *, is_used: bool) -> Iterator[Finding]:
    """JAX or PyTorch: where it is, whether it is whole, and its devices.

    Args:
        answer: None if it was not asked.
        is_used: `train.backend` names it, so that the checks before a run tell whether it is installed and whole.
    """
    from models.training.elsewhere.installed_packages import describe_damage

    try:
        given, own = given_interpreter(name), environment(name)
    except Exception as error:  # noqa: BLE001 (whatever a variable names)
        yield from_error(name, error, "error" if is_used else "warn")
        return
    if answer is None:
        if not is_used:
            yield Finding(name, "ok", f"not installed; `{install_command(name)}` makes its environment")
        return
    bad: Status = "error" if is_used else "warn"
    remedy = f"`{install_command(name)}` makes its environment anew"
    if given is not None:
        remedy = f"correct {python_variable(name)}, or unset it and run `{install_command(name)}`"
    elif not is_used and (damage := describe_damage(own)):
        yield Finding(name, bad, f"damaged: {damage}", remedy)
        return
    if answer.failure:
        yield Finding(name, bad, f"{given or own.folder} does not work: {answer.failure}", remedy)
        return
    devices = answer.known.get("devices", [])
    yield Finding(name, "ok", f"{answer.known.get('version', '')} in {given or own.folder} sees {_counted(devices)}")
    if found.can_use_nvidia and not devices and not _is_hidden():
        if name == "jax":
            text, remedy = "PyPI's JAX is for processors", "docs/backends.md: name an interpreter with JAX for CUDA"
        else:
            built = answer.known.get("built_for") or "processors only"
            text, remedy = f"PyTorch is built for CUDA {built}", "update NVIDIA's driver, or name your own build"
        yield Finding(
            name, "warn", f"sees no GPU: {text}; the driver is {found.driver}", f"{remedy} in {python_variable(name)}"
        )


def _counted(devices: list[str]) -> str:
    if not devices:
        return "the processor only"
    counts = {one: devices.count(one) for one in devices}
    return ", ".join(f"{count} x {one}" for one, count in counts.items())


def _is_hidden() -> bool:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1", "none", "void")


def _gpu_reason(stderr: str) -> str:
    """The line in which TensorFlow tells why it found no GPU, without its prefix of time and place."""
    for line in stderr.splitlines():
        if re.search(r"cannot dlopen|could not load|could not find cuda|cuinit|no cuda", line, re.IGNORECASE):
            return line.partition("] ")[2].strip()[:300] or line.strip()[:300]
    return "NVIDIA's libraries are not installed"
