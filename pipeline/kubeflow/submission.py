"""`transom submit`: uploads a compiled pipeline to a cluster and runs it, once or repeatedly. No TensorFlow."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from models.errors import ConfigError, TransomError
from pipeline.kubeflow import pipeline_yaml
from pipeline.kubeflow.schedules import find_pipeline, schedule

_CRON_FIELDS = 6


def run(options: argparse.Namespace) -> int:
    """Uploads and starts a pipeline; see `transom submit --help`. Returns 1 if a run with --wait did not succeed.

    Raises:
        ConfigError: the file or the schedule is wrong.
        TransomError: the cluster cannot be reached, or refuses.
    """
    compiled = pipeline_yaml.read(options.pipeline, options.platform)
    _check_schedule(options)
    import kfp_server_api
    import urllib3.exceptions

    try:
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / "pipeline.yaml"
            package.write_text(pipeline_yaml.dump(compiled.spec, compiled.platform), encoding="utf-8")
            return _submit(options, compiled.spec["pipelineInfo"]["name"], package)
    except kfp_server_api.ApiException as error:
        message = " ".join(str(error.body or error.reason).split())[:500]
        fix = "give a token in KFP_API_TOKEN" if error.status in (401, 403) else ""
        raise TransomError(f"Kubeflow at {options.endpoint}", got=f"{error.status}: {message}", fix=fix) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TransomError(
            f"Kubeflow at {options.endpoint}",
            got=" ".join(str(error).split())[:300],
            expected="the API of Kubeflow Pipelines",
            fix="correct --endpoint; from outside the cluster: kubectl port-forward svc/ml-pipeline 8888 -n kubeflow",
        ) from error


def _check_schedule(options: argparse.Namespace) -> None:
    if options.cron is not None and len(options.cron.split()) != _CRON_FIELDS:
        raise ConfigError(
            "--cron", got=options.cron, expected="six fields, seconds first", fix='"0 0 3 * * *" is 3 o\'clock, daily'
        )
    if options.every is not None and not 1 / 60 <= options.every <= 24 * 366:
        raise ConfigError("--every", got=f"{options.every:g}", expected="hours, from a minute (0.017) to a year")
    if options.wait and (options.cron is not None or options.every is not None):
        raise ConfigError("--wait", got="a recurring run", expected="a single run", fix="leave --wait out")


def _submit(options: argparse.Namespace, name: str, package: Path) -> int:
    _check_reachable(options.endpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client warns on every start
        import kfp

        client = kfp.Client(host=options.endpoint, namespace=options.namespace or "kubeflow", **_token())
    try:
        return _start(options, client, name, package)
    except ValueError as error:  # raised by the client if a name is not unique
        raise TransomError(f"Kubeflow at {options.endpoint}", got=" ".join(str(error).split())[:300]) from error


def _start(options: argparse.Namespace, client: Any, name: str, package: Path) -> int:
    label = f"{name} {time.strftime('%Y-%m-%d %H:%M:%S')}"
    pipeline_id = find_pipeline(client, name, options.namespace)
    if pipeline_id is None:
        uploaded: Any = client.upload_pipeline(str(package), pipeline_name=name, namespace=options.namespace)
        pipeline_id, version = uploaded.pipeline_id, _first_version(client, uploaded.pipeline_id)
    else:
        added = client.upload_pipeline_version(str(package), label, pipeline_id=pipeline_id)
        version = added.pipeline_version_id
    experiment = client.create_experiment(options.experiment, namespace=options.namespace).experiment_id
    what = {"pipeline_id": pipeline_id, "version_id": version, "service_account": options.service_account}
    if options.cron is not None or options.every is not None:
        seconds = round(options.every * 3600) if options.every is not None else None
        for line in schedule(client, label, experiment, options.namespace, what, options.cron, seconds):
            print(line)
        return 0
    started = client.run_pipeline(experiment, label, **what)
    print(f"run {started.run_id}: {label}")
    if not options.wait:
        return 0
    state = client.wait_for_run_completion(started.run_id, timeout=7 * 24 * 3600).state
    print(f"run {started.run_id}: {state}")
    return 0 if state == "SUCCEEDED" else 1


def _check_reachable(endpoint: str) -> None:
    """Checks once whether the API is there: kfp's client tries for 25 s, with a traceback each time."""
    import kfp_server_api

    configuration = kfp_server_api.Configuration(host=endpoint.rstrip("/"))
    token = _token().get("existing_token")
    if token:
        configuration.api_key, configuration.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
    kfp_server_api.HealthzServiceApi(kfp_server_api.ApiClient(configuration)).healthz_service_get_healthz()


def _first_version(client: Any, pipeline_id: str) -> str:
    return str(client.list_pipeline_versions(pipeline_id, page_size=1).pipeline_versions[0].pipeline_version_id)


def _token() -> dict[str, str]:
    """A token from KFP_API_TOKEN, which the client does not read itself."""
    token = os.environ.get("KFP_API_TOKEN")
    return {"existing_token": token} if token else {}
