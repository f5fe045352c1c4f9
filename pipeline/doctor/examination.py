"""`transom doctor`: runs all checks, and prints what they find (standard library only)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

from pipeline.doctor.device_queries import Query, stopping
from pipeline.doctor.doctor_report import Report
from pipeline.doctor.finding import Check, Finding, Project, findings_of

_Group = tuple[str, Callable[[], list[Check]]]


def examine(
    given: Path | None,
    overrides: list[str],
    stream: TextIO,
    *,
    tf_serving: str,
    as_json: bool = False,
    strict: bool = False,
    verbose: bool = False,
) -> int:
    """Examines the machine, the installation and the project; changes nothing.

    Args:
        given: the configuration or its folder; None: that of the current folder, if there is one.
        tf_serving: the version of TF Serving that will serve, such as "2.20".
        strict: warnings count as errors.
        verbose: also print on standard error what the frameworks printed there.

    Returns:
        The exit code: 1 if there is an error.
    """
    begin, report = time.monotonic(), Report(stream, as_json=as_json)
    try:
        project, configuration = _load(given, overrides)
        queries = _start_queries(project)
        with stopping(queries):
            for title, build in _groups(project, configuration, tf_serving, queries, report.waiting):
                for check in _checks(title, build):
                    report.waiting(check.name)
                    for finding in findings_of(check):
                        report.show(title, finding)
    finally:
        report.clear()
    code = report.exit_code(strict=strict)
    report.summarize(project, code, time.monotonic() - begin)
    for name, query in queries.items() if verbose else ():
        print(f"{name}:\n{query.answer().stderr.strip()}", file=sys.stderr)
    return code


def _load(given: Path | None, overrides: list[str]) -> tuple[Project | None, list[Finding]]:
    loaded: list[Project | None] = [None]

    def load() -> Iterator[Finding]:
        from pipeline.doctor.checks.project_checks import load_project

        loaded[0], finding = load_project(given, overrides)
        yield finding

    found = list(findings_of(Check("configuration", load)))
    return loaded[0], found


def _start_queries(project: Project | None) -> dict[str, Query]:
    from pipeline.doctor.checks.accelerator_checks import start_queries

    return start_queries(project)


def _groups(
    project: Project | None,
    configuration: list[Finding],
    tf_serving: str,
    queries: dict[str, Query],
    waiting: Callable[[str], None],
) -> Iterator[_Group]:
    """What is examined, by subject. The accelerators come last: the frameworks take seconds to answer."""
    from pipeline.doctor.checks import (
        accelerator_checks,
        installation_checks,
        machine_checks,
        port_checks,
        project_checks,
        pushed_version_checks,
        storage_checks,
    )

    yield "machine", lambda: [*machine_checks.checks(project), *storage_checks.checks(project)]
    yield "installation", installation_checks.checks
    yield "project", lambda: [Check("configuration", lambda: configuration)]
    if project is not None:
        yield "project", partial(project_checks.checks, project)
        yield "serving", partial(pushed_version_checks.checks, project, tf_serving)
    yield "serving", port_checks.checks
    if project is not None:
        yield "kubeflow", lambda: _cluster_checks(project)
    yield "accelerators", lambda: accelerator_checks.checks(project, queries, waiting)


def _cluster_checks(project: Project) -> list[Check]:
    from pipeline.doctor.checks import cluster_checks

    return cluster_checks.checks(project)


def _checks(title: str, build: Callable[[], list[Check]]) -> list[Check]:
    """A group's checks; if they cannot be made, one that tells why."""
    try:
        return build()
    except Exception as error:  # noqa: BLE001 (as in `findings_of`)
        return [Check(title, partial(_raise, error))]


def _raise(error: Exception) -> list[Finding]:
    raise error
