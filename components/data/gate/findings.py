"""The data gate's findings: their text, and their file. Imports no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from components.config import Severity
from components.report_files import FINDINGS_FILE
from models.errors import GateError
from tflite.host.json_text import to_json

# The number of errors that a message lists.
_LISTED = 10
# If findings of these rules pass, a later step stops all the same: letting them pass is no advice.
_NEEDED = ("empty_split",)


@dataclass(frozen=True)
class Finding:
    """One finding of a rule in one split.

    Attributes:
        rule: the key under `gate`.
        severity: `error` or `warn`.
        split, column: where.
        message: what was found, in a sentence.
        rows, of: how many rows it concerns, of how many; 0 and 0 if it is not about rows.
        examples: some of these rows, shortened.
        fix: what to do about it.
    """

    rule: str
    severity: Severity
    split: str
    column: str
    message: str
    rows: int = 0
    of: int = 0
    examples: tuple[str, ...] = ()
    fix: str = ""

    def render(self, examples: int = 5) -> str:
        """One line with all the facts, one for each of the first examples, and one with the fix."""
        column = f", column {self.column!r}" if self.column else ""
        head = f"{self.severity} {self.rule} in {self.split or 'the data'}{column}: {self.message}"
        tail = [f"    to fix: {self.fix}"] if self.fix else []
        return "\n".join([head, *(f"    {example}" for example in self.examples[:examples]), *tail])


def raise_errors(findings: Sequence[Finding], data: Mapping[str, Any] | None = None) -> None:
    """Stops the run if there are errors, with all of them on one screen.

    Raises:
        GateError: there is a finding of severity `error`. It has all findings, and `data`, for the report.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        fix = _fix(errors)
        # A few errors with all their examples, many with one each, so that they fit on a screen; a remedy once.
        shown = [replace(error, fix="") if error.fix == fix else error for error in errors[:_LISTED]]
        listed = "\n".join(finding.render(5 if len(errors) <= 3 else 1) for finding in shown)
        if len(errors) > _LISTED:
            listed += f"\nand {len(errors) - _LISTED:,} more"
        error = GateError(
            f"the data gate stops the run: {pluralize(errors, 'error')}",
            got="\n" + "\n".join("    " + line for line in listed.splitlines()),
            expected="data from which a model can be trained and evaluated",
            fix=fix,
        )
        error.findings, error.data = [asdict(finding) for finding in findings], data or {}
        raise error


def _fix(errors: Sequence[Finding]) -> str:
    """What helps against all errors at once."""
    needed = [error for error in errors if error.rule in _NEEDED]
    rules = dict.fromkeys(f"gate.{error.rule}" for error in errors if error.rule not in _NEEDED)
    passing = f"{', '.join(rules)}: warn"
    if not needed:
        return f"correct the data, or let it pass: {passing}"
    fixes = "; ".join(dict.fromkeys(error.fix for error in needed if error.fix)) or "correct the data"
    return f"{fixes}; the rest may pass: {passing}" if rules else fixes


def render(findings: Sequence[Finding]) -> str:
    """All findings, errors first."""
    ordered = sorted(findings, key=lambda finding: finding.severity != "error")
    return "\n".join(finding.render() for finding in ordered) or "the data gate found nothing"


def save(findings: Sequence[Finding], directory: Path | str) -> None:
    """Writes `findings.json`."""
    text = to_json([asdict(finding) for finding in findings], indent=1)
    Path(directory, FINDINGS_FILE).write_text(text + "\n", encoding="utf-8")


def load(directory: Path | str) -> list[Finding]:
    """Reads `findings.json`."""
    raw = json.loads(Path(directory, FINDINGS_FILE).read_text(encoding="utf-8"))
    return [Finding(**{**item, "examples": tuple(item["examples"])}) for item in raw]


def pluralize(things: Sized, name: str) -> str:
    """The number of things, with their name: "1 label", "2 labels"."""
    return f"{len(things):,} {name}{'' if len(things) == 1 else 's'}"
