"""How the program, the packages and the machine differ from those that trained a model. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from components.lineage.lineage_facts import CodeFacts, Lineage, Origin, TrainingFacts

REASONS = {
    "code": "other code",
    "packages": "other versions of the packages",
    "cpu": "another CPU, which adds numbers up in another order",
    "threads": "another number of threads, which divide sums differently",
    "computing": "another precision, compilation or device",
}


@dataclass(frozen=True)
class Difference:
    """One thing that was different when the model was trained.

    Attributes:
        kind: a key of `REASONS`; "" for what changes no weights by itself.
    """

    what: str
    then: str
    now: str
    kind: str = ""

    def render(self) -> str:
        return f"{self.what}: {self.then} then, {self.now} now"


def find_differences(lineage: Lineage, now: Origin) -> list[Difference]:
    """What is known to differ between a model's training and one on this machine now. Without what was not noted."""
    then = lineage.origin
    found = [*_of_code(then.code, now.code), *_of_packages(then, now)]
    old, new = then.environment, now.environment
    found += _compare(
        ("platform", old.platform, new.platform, ""),
        ("CPU", old.cpu, new.cpu, "cpu"),
        ("CPU features", ", ".join(old.features), ", ".join(new.features) or "none", "cpu"),
        ("cores", old.cores, new.cores, "threads"),
        ("threads", old.threads, new.threads, "threads"),
    )
    if lineage.training.resumed_at_step:
        found.append(Difference("training", f"continued at step {lineage.training.resumed_at_step}", "from the start"))
    return found


def computing_differences(then: TrainingFacts, now: TrainingFacts) -> list[Difference]:
    """How the two trainings computed, where `auto` has chosen differently."""
    rows = [
        (what, getattr(then, key), getattr(now, key), "computing")
        for key, what in (
            ("framework", "framework"),
            ("precision", "precision"),
            ("xla", "XLA"),
            ("onednn", "oneDNN"),
            ("strategy", "strategy"),
            ("replicas", "replicas"),
        )
    ]
    kinds = [[name.rpartition(":")[0] for name in facts.devices] for facts in (then, now)]
    return _compare(*rows, ("devices", ", ".join(kinds[0]), ", ".join(kinds[1]), "computing"))


def known_reasons(differences: list[Difference]) -> list[str]:
    """What is known to make other weights, of what was seen to differ."""
    kinds = {one.kind for one in differences}
    return [reason for kind, reason in REASONS.items() if kind in kinds]


def _of_code(then: CodeFacts, now: CodeFacts) -> Iterator[Difference]:
    yield from _compare(("Transom", then.transom, now.transom, "code"))
    # A commit changes more than what trains: the steps' fingerprints say whether it does that.
    same = bool(then.steps) and all(now.steps.get(step) == digest for step, digest in then.steps.items())
    yield from _compare(("commit", _commit(then), _commit(now), "" if same else "code"))
    for step, digest in then.steps.items():
        yield from _compare((f"code of {step}", digest, now.steps.get(step, "none"), "code"))


def _commit(code: CodeFacts) -> str | None:
    if code.commit is None:
        return None
    return code.commit[:12] + (" with uncommitted changes" if code.uncommitted else "")


def _of_packages(then: Origin, now: Origin) -> Iterator[Difference]:
    old, new = then.environment, now.environment
    yield from _compare(("Python", old.python, new.python, "packages"))
    yield from _of_versions("", old.packages, new.packages)
    yield from _compare(("requirements.lock", old.lock, new.lock, ""))
    if old.backend is not None:
        present = new.backend
        yield from _of_versions(
            f"{old.backend.framework}: ", old.backend.packages, {} if present is None else present.packages
        )
        yield from _compare(
            (f"lock of {old.backend.framework}", old.backend.lock, None if present is None else present.lock, "")
        )


def _of_versions(prefix: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for name, version in old.items():
        yield from _compare((f"{prefix}{name}", version, new.get(name, "not installed"), "packages"))


def _compare(*rows: tuple[str, object, object, str]) -> list[Difference]:
    return [
        Difference(what, _short(then), "none" if now is None else _short(now), kind)
        for what, then, now, kind in rows
        if then not in (None, "") and then != now
    ]


def _short(value: object) -> str:
    """Of a digest the first digits."""
    text = str(value)
    return f"{text[:12]}…" if len(text) >= 32 and not set(text) - set("0123456789abcdef") else text
