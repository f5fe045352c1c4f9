"""Finds a pipeline on a cluster, and replaces the recurring runs that earlier submissions created."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from models.errors import ConfigError
from tflite.host.json_text import to_json

MADE_BY = "Made by `transom submit`; the next one with --cron or --every replaces it."
_PAGE = 100
_ENABLED = "ENABLE"


def find_pipeline(client: Any, name: str, namespace: str | None) -> str | None:
    """The id of the pipeline with a name in the namespace, or, without one, in the whole cluster.

    `kfp.Client.get_pipeline_id` searches only the latter.

    Raises:
        ConfigError: there are several.
    """
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    query = to_json({"predicates": [predicate]})
    pages = _pages(lambda token: client.list_pipelines(token, _PAGE, filter=query, namespace=namespace), "pipelines")
    # A single-user cluster has no namespaces, and reports none.
    found = [one for one in pages if not namespace or (one.namespace or namespace) == namespace]
    if len(found) > 1:
        pipelines = ", ".join(sorted(f"{one.pipeline_id} (namespace {one.namespace or 'none'})" for one in found))
        raise ConfigError(
            f"the pipeline {name}",
            got=f"{len(found)} pipelines of this name: {pipelines}",
            expected="one",
            fix="name the namespace of the right one with --namespace"
            if not namespace
            else "delete those you do not need",
        )
    return str(found[0].pipeline_id) if found else None


def schedule(
    client: Any,
    label: str,
    experiment: str,
    namespace: str | None,
    what: dict[str, Any],
    cron: str | None,
    seconds: int | None,
) -> Iterator[str]:
    """Creates a recurring run in place of those of earlier submissions; yields lines to print.

    Only runs that `submit` created in the same experiment are replaced, once the new one exists. Other recurring runs
    of the same pipeline are reported: with two schedules, models are trained twice and pushed in turn.
    """
    pages = _pages(lambda token: client.list_recurring_runs(token, _PAGE, namespace=namespace), "recurring_runs")
    former = [one for one in pages if _runs(one, what["pipeline_id"])]
    # no_catchup: each run reads the newest data, so runs missed while the cluster was down would add nothing.
    created = client.create_recurring_run(
        experiment,
        label,
        description=MADE_BY,
        cron_expression=cron,
        interval_second=seconds,
        no_catchup=True,
        **what,
    )
    yield f"recurring run {created.recurring_run_id}: {label}, {_when(created) or cron or f'every {seconds} s'}"
    for one in former:
        about = f"recurring run {one.recurring_run_id}: {one.display_name}, {_when(one)}"
        if one.experiment_id == experiment and _is_ours(one, label):
            yield _delete_replaced(client, one, about)
        elif str(one.mode) == _ENABLED:
            yield f"this pipeline has another schedule, which is kept: {about}"


def _delete_replaced(client: Any, one: Any, about: str) -> str:
    import kfp_server_api

    try:
        client.delete_recurring_run(one.recurring_run_id)
    except kfp_server_api.ApiException as error:
        return f"there are now two schedules, because the old one could not be deleted ({error.status}): {about}"
    return f"replaces {about}"


def _runs(one: Any, pipeline_id: str) -> bool:
    reference = one.pipeline_version_reference
    return reference is not None and reference.pipeline_id == pipeline_id


def _is_ours(one: Any, label: str) -> bool:
    """Whether an earlier submission created it; in older versions without description, but with a time in the name."""
    name = re.escape(label[: -len("2026-01-31 12:00:00")])
    return one.description == MADE_BY or bool(
        not one.description and re.fullmatch(rf"{name}\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d", one.display_name or "")
    )


def _when(one: Any) -> str:
    trigger = one.trigger
    if trigger is None:
        return ""
    if trigger.cron_schedule is not None:
        return str(trigger.cron_schedule.cron)
    return f"every {trigger.periodic_schedule.interval_second} s" if trigger.periodic_schedule is not None else ""


def _pages(request: Callable[[str], Any], part: str) -> Iterator[Any]:
    token = ""
    while True:
        response = request(token)
        yield from getattr(response, part) or []
        token = response.next_page_token or ""
        if not token:
            return
