"""What TF Serving itself reads and is told, the same for every target."""

from __future__ import annotations

from serving.deploy.model_config import model_config, to_text
from serving.deploy.plan import DeployPlan

CONFIG_FOLDER = "/etc/transom"
GRPC_PORT, REST_PORT = 8500, 8501
METRICS_PATH = "/monitoring/prometheus/metrics"
# Rows: a run of the model takes at most the first number; a request may bring up to the second.
_BATCH_ROWS, _REQUEST_ROWS = 64, 1024


def files(plan: DeployPlan) -> dict[str, str]:
    """Name to content of the files in `CONFIG_FOLDER`."""
    found = {"models.config": to_text(model_config(plan))}
    if plan.batching:
        found["batching.config"] = _batching(plan)
    monitoring = f'prometheus_config {{\n  enable: true\n  path: "{METRICS_PATH}"\n}}\n'
    return found | {"monitoring.config": monitoring}


def arguments(plan: DeployPlan, grpc_port: int = GRPC_PORT, rest_port: int = REST_PORT) -> list[str]:
    """The command line of `tensorflow_model_server`."""
    batching = ["--enable_batching=true", f"--batching_parameters_file={CONFIG_FOLDER}/batching.config"]
    return [
        f"--port={grpc_port}",
        f"--rest_api_port={rest_port}",
        f"--model_config_file={CONFIG_FOLDER}/models.config",
        # A promotion reaches every replica without a restart.
        "--model_config_file_poll_wait_seconds=30",
        # At its start the server has loaded none of the versions that the labels name.
        "--allow_version_labels_for_unavailable_models=true",
        # A bucket charges for every look.
        f"--file_system_poll_wait_seconds={60 if plan.bucket and plan.target != 'kserve' else 10}",
        *(batching if plan.batching else []),
        f"--monitoring_config_file={CONFIG_FOLDER}/monitoring.config",
        f"--tensorflow_intra_op_parallelism={plan.threads}",
        f"--tensorflow_inter_op_parallelism={plan.threads}",
        # Clients connect anew now and then, and so find replicas that have been added.
        "--grpc_channel_arguments=grpc.max_connection_age_ms=300000,grpc.max_connection_age_grace_ms=60000",
    ]


def _batching(plan: DeployPlan) -> str:
    """Joins what has queued while every thread was busy; waits for nobody."""
    values = {
        "max_batch_size": _REQUEST_ROWS,
        "enable_large_batch_splitting": "true",
        "max_execution_batch_size": _BATCH_ROWS,
        "batch_timeout_micros": 0,
        "num_batch_threads": plan.threads,
        "max_enqueued_batches": 100,
    }
    lines = [f"{name} {{ value: {value} }}" for name, value in values.items()]
    # The token_ids signature takes rows of any length; strings are one length to TF Serving.
    return "\n".join([*lines, "pad_variable_length_inputs: true"]) + "\n"
