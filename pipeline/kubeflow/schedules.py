"""What is on a cluster already: the pipeline of a name, and the recurring runs that an earlier submission made."""

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
    """The id of the pipeline of a name within the namespace, or among those of the whole cluster where none is given.

    `kfp.Client.get_pipeline_id` looks at the latter alone.

    Raises:
        ConfigError: there are several.
    """
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    told = to_json({"predicates": [predicate]})
    pages = _pages(lambda token: client.list_pipelines(token, _PAGE, filter=told, namespace=namespace), "pipelines")
    # A cluster of one user knows no namespaces, and says none.
    found = [one for one in pages if not namespace or (one.namespace or namespace) == namespace]
    if len(found) > 1:
        places = ", ".join(sorted(f"{one.pipeline_id} (namespace {one.namespace or 'none'})" for one in found))
        raise ConfigError(
            f"the pipeline {name}",
            got=f"{len(found)} of this name: {places}",
            expected="one",
            fix="name the right one's with --namespace" if not namespace else "delete those that are not needed",
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
    """Makes a recurring run in place of those that earlier submissions made; yields what to say of it.

    Only what `submit` made in the same experiment is replaced, and only once the new one stands. Of others that run
    the same pipeline the user is told: two schedules train twice and push in turn.
    """
    pages = _pages(lambda token: client.list_recurring_runs(token, _PAGE, namespace=namespace), "recurring_runs")
    former = [one for one in pages if _runs(one, what["pipeline_id"])]
    # no_catchup: a run reads the newest data, so that runs missed while the cluster was down teach nothing.
    made = client.create_recurring_run(
        experiment,
        label,
        description=MADE_BY,
        cron_expression=cron,
        interval_second=seconds,
        no_catchup=True,
        **what,
    )
    yield f"recurring run {made.recurring_run_id}: {label}, {_when(made) or cron or f'every {seconds} s'}"
    for one in former:
        about = f"recurring run {one.recurring_run_id}: {one.display_name}, {_when(one)}"
        if one.experiment_id == experiment and _is_ours(one, label):
            yield _replaced(client, one, about)
        elif str(one.mode) == _ENABLED:
            yield f"this pipeline has another schedule, which stays: {about}"


def _replaced(client: Any, one: Any, about: str) -> str:
    import kfp_server_api

    try:
        client.delete_recurring_run(one.recurring_run_id)
    except kfp_server_api.ApiException as error:
        return f"there are two schedules now, for the former could not be deleted ({error.status}): {about}"
    return f"in place of {about}"


def _runs(one: Any, pipeline_id: str) -> bool:
    reference = one.pipeline_version_reference
    return reference is not None and reference.pipeline_id == pipeline_id


def _is_ours(one: Any, label: str) -> bool:
    """Whether an earlier submission made it; those of older versions have no description, and a time in their name."""
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


def _pages(ask: Callable[[str], Any], part: str) -> Iterator[Any]:
    token = ""
    while True:
        answer = ask(token)
        yield from getattr(answer, part) or []
        token = answer.next_page_token or ""
        if not token:
            return
