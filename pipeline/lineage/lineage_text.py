"""A lineage as text for people, in 80 columns. No TensorFlow."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from components.lineage.lineage_facts import CheckoutFacts, EnvironmentFacts, FileFacts, Lineage, ProgramFacts
from pipeline.config import ProjectConfig
from pipeline.lineage.lineage_reading import FoundLineage, printable
from tflite.host.json_text import to_json

_WIDTH, _LABEL = 80, 10
_MOST_FILES = 10
_LONGEST = 4000
_XLA = {True: "XLA on", False: "XLA off", "parts": "XLA in parts"}
UNKNOWN = "not known"


def lineage_lines(found: FoundLineage) -> Iterator[str]:
    """The lines of a lineage."""
    lineage = found.lineage
    kind = "edge bundle" if found.bundle else "version"
    yield printable(f"{lineage.model.name or 'a model'}, {kind} {found.folder.absolute().name}")
    for label, texts in _parts(lineage, found.complete):
        for text in texts or [UNKNOWN]:
            yield from _wrapped(label, text)
            label = ""
    if not found.complete:
        yield ""
        yield from textwrap.wrap(_why_incomplete(found), _WIDTH)


def _wrapped(label: str, text: str) -> Iterator[str]:
    head, indent = f"{label:<{_LABEL}}", " " * _LABEL
    text = printable(text[:_LONGEST])
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from lines or [head.rstrip()]


def _parts(lineage: Lineage, complete: bool) -> Iterator[tuple[str, list[str]]]:
    if complete:
        yield "pushed", _push(lineage)
    yield "digest", [lineage.model.digest] if lineage.model.digest else []
    yield "data", _data(lineage)
    yield "settings", _settings(lineage, complete)
    code, pushed = lineage.origin.code, lineage.run.code
    yield "code", [*_program(code), *(f"{step} {digest}" for step, digest in code.steps.items())]
    if _program(pushed) != _program(code):
        yield "", [f"the run that pushed it: {line}" for line in _program(pushed)]
    if lineage.run.project is not None:
        yield "project", [_commit(lineage.run.project)]
    yield "training", _training(lineage)
    if lineage.origin.preset is not None:
        yield "preset", [lineage.origin.preset.name, f"digest {lineage.origin.preset.digest}"]
    yield "machine", _machine(lineage.origin.environment)
    yield "packages", _packages(lineage.origin.environment)


def _push(lineage: Lineage) -> list[str]:
    run = lineage.run
    where = {"local": "", "kubeflow": " on Kubeflow"}.get(run.runner or "", "")
    lines = [f"{_time(run.pushed_at)} by run {run.name or UNKNOWN}{where}"]
    if run.previous_version is not None:
        before = f"version {run.previous_version}" if run.previous_version else "nothing"
        lines.append(f"{before} was live before")
    return lines


def _time(text: str | None) -> str:
    return UNKNOWN if text is None else text.replace("T", " ").replace("Z", " UTC")


def _data(lineage: Lineage) -> list[str]:
    data, lines = lineage.data, []
    for source in data.sources:
        lines.append(f"data.{source.key}: {', '.join(source.patterns)}")
        for file in source.files[:_MOST_FILES]:
            lines += _file(file)
        if len(source.files) > _MOST_FILES:
            lines.append(f"and {len(source.files) - _MOST_FILES:,} more files: see --json")
    if data.folder is not None:
        lines.append(f"relative to {data.folder}")
    if data.span is not None:
        lines.append(f"span {data.span}" + ("" if data.version is None else f", version {data.version}"))
    if data.rows:
        lines.append("rows: " + ", ".join(f"{split} {count:,}" for split, count in data.rows.items()))
    if data.schema_file is not None:
        lines += ["data.schema_path:", *_file(data.schema_file)]
    if not lines and lineage.config.get("data"):
        given = lineage.config["data"]
        keys = ("path", "train", "eval", "test")
        named = [f"data.{key}: {_value(given[key])}" for key in keys if isinstance(given, dict) and given.get(key)]
        lines += [*named, f"which files that were, and their contents: {UNKNOWN}"]
    return lines


def _file(file: FileFacts) -> list[str]:
    return [f"  {file.path}, {file.bytes:,} bytes, SHA-256", f"  {file.sha256}"]


def _settings(lineage: Lineage, complete: bool) -> list[str]:
    if not lineage.config:
        return []
    name = f"{lineage.run.config_file} in {lineage.run.folder}" if lineage.run.config_file else ""
    changed = changed_keys(lineage.config)
    if changed is None:
        return [name, "all of them: --json"]
    note = "" if complete else "those that the training needs; "
    lines = [name] if name else []
    lines.append(f"{note}all but these are the defaults (--json has all):")
    return [*lines, *(f"  {key}: {_value(value)}" for key, value in changed.items())]


def changed_keys(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The keys of a stored configuration that are not the defaults; None if another version of Transom wrote it."""
    model = config.get("model")
    kind = {key: model[key] for key in ("type", "preset") if key in model} if isinstance(model, dict) else {}
    try:
        given = ProjectConfig.model_validate(config).model_dump(mode="json")
        default = ProjectConfig.model_validate({"data": {"path": "-"}, "model": kind}).model_dump(mode="json")
    except (ValidationError, ValueError, RecursionError):
        return None
    usual, found = dict(_leaves(default)), dict(_leaves(given))
    return {key: value for key, value in found.items() if key not in usual or usual[key] != value}


def _leaves(group: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in group.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _value(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)


def _program(code: ProgramFacts) -> list[str]:
    return [] if code.transom is None else [f"Transom {code.transom}", _commit(code)]


def _commit(checkout: CheckoutFacts) -> str:
    if checkout.commit is None:
        return "no commit: not a git checkout"
    return f"commit {checkout.commit}" + (", with uncommitted changes" if checkout.uncommitted else "")


def _training(lineage: Lineage) -> list[str]:
    facts = lineage.training
    if facts.framework is None:
        return []
    xla = _XLA.get(facts.xla) if facts.xla is not None else None
    parts = [facts.precision, xla, None if facts.onednn is None else f"oneDNN {facts.onednn}"]
    lines = [
        ", ".join(["on " + facts.framework, *(part for part in parts if part)]),
        f"seed {facts.seed}, {facts.steps} steps, {facts.epochs} epochs (best: {facts.best_epoch})",
        f"devices: {', '.join(facts.devices)}" + (f" ({facts.strategy})" if facts.strategy != "none" else ""),
    ]
    if facts.resumed_at_step:
        lines.append(f"continued at step {facts.resumed_at_step} after an interruption")
    return [*lines, *([f"ended {_time(lineage.origin.at)}"] if lineage.origin.at else [])]


def _machine(facts: EnvironmentFacts) -> list[str]:
    if facts.platform is None:
        return []
    features = f" ({', '.join(facts.features)})" if facts.features else ""
    return [facts.platform, f"{facts.cpu}{features}", f"{facts.cores} cores, {facts.threads} threads"]


def _packages(facts: EnvironmentFacts) -> list[str]:
    if facts.python is None:
        return []
    lines = [", ".join([f"Python {facts.python}", *(f"{name}=={one}" for name, one in facts.packages.items())])]
    if facts.lock is not None:
        lines += ["requirements.lock, SHA-256", f"  {facts.lock}"]
    if facts.backend is not None:
        packages = ", ".join(f"{name}=={version}" for name, version in facts.backend.packages.items())
        lines.append(f"environment of {facts.backend.framework}: {packages}")
        lines += [f"  {facts.backend.lock}"] if facts.backend.lock else []
    return lines


def _why_incomplete(found: FoundLineage) -> str:
    if found.bundle:
        return (
            "There is no lineage.json in this bundle: an earlier version of Transom made it, or it was left out of a "
            "copy. The SavedModel that it was made from may tell more."
        )
    return (
        "There is no lineage.json in this version: an earlier version of Transom pushed it. Not known are the run, the "
        "contents of the tables, the commit, the packages and the machine, and the settings of the other steps. "
        "`transom reproduce` needs them."
    )
