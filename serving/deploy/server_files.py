"""TF Serving's configuration files and command line, the same for every target."""

from __future__ import annotations

from serving.deploy.model_config import model_config, to_text
from serving.deploy.plan import DeployPlan

CONFIG_FOLDER = "/etc/transom"
GRPC_PORT, REST_PORT = 8500, 8501
METRICS_PATH = "/monitoring/prometheus/metrics"
# Maximum rows of a run of the model, and of a request.
_BATCH_ROWS, _REQUEST_ROWS = 64, 1024


def files(plan: DeployPlan) -> dict[str, str]:
    """Name to content of the files in `CONFIG_FOLDER`."""
    config_files = {"models.config": to_text(model_config(plan))}
    if plan.batching:
        config_files["batching.config"] = _batching(plan)
    monitoring = f'prometheus_config {{\n  enable: true\n  path: "{METRICS_PATH}"\n}}\n'
    return config_files | {"monitoring.config": monitoring}


def arguments(plan: DeployPlan, grpc_port: int = GRPC_PORT, rest_port: int = REST_PORT) -> list[str]:
    """The command line of `tensorflow_model_server`."""
    batching = ["--enable_batching=true", f"--batching_parameters_file={CONFIG_FOLDER}/batching.config"]
    return [
        f"--port={grpc_port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={CONFIG_FOLDER}/models.config",
        # A promotion reaches every replica without a restart.
        "--model_config_file_poll_wait_seconds=30",
        # At startup no version is loaded yet that the labels could point to.
        "--allow_version_labels_for_unavailable_models=true",
        # A bucket charges for each listing.
        f"--file_system_poll_wait_seconds={60 if plan.bucket and plan.target != 'kserve' else 10}",
        *(batching if plan.batching else []),
        f"--monitoring_config_file={CONFIG_FOLDER}/monitoring.config",
        f"--tensorflow_intra_op_parallelism={plan.threads}",
        f"--tensorflow_inter_op_parallelism={plan.threads}",
        # Makes clients reconnect now and then, so that they find new replicas.
        "--grpc_channel_arguments=grpc.max_connection_age_ms=300000,grpc.max_connection_age_grace_ms=60000",
    ]


def _batching(plan: DeployPlan) -> str:
    """Batches requests that queued while every thread was busy, without waiting for more."""
    values = {
        "max_batch_size": _REQUEST_ROWS,
        "enable_large_batch_splitting": "true",
        "max_execution_batch_size": _BATCH_ROWS,
        "batch_timeout_micros": 0,
        "num_batch_threads": plan.threads,
        "max_enqueued_batches": 100,
    }
    lines = [f"{name} {{ value: {value} }}" for name, value in values.items()]
    # The token_ids signature takes rows of any length; to TF Serving all strings have one length.
    return "\n".join([*lines, "pad_variable_length_inputs: true"]) + "\n"
