"""The flags, as a table: those of `tensorflow_model_server` (tensorflow_serving/model_servers/main.cc), and ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        kind: bool, int, float or str.
        default: what holds without the flag.
        help: a line for --help.
        no_effect: why it means nothing here; a warning says so when it is given.
        refused: why a value other than the default cannot be taken; it would be a lie to go on.
        least, most: bounds of a number.
        choices: the texts that it may be, any where there are none.
    """

    name: str
    kind: type
    default: Any
    help: str
    no_effect: str = ""
    refused: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


OURS = "[ours] "
"""Marks the help of a flag that `tensorflow_model_server` has not."""

_LAST_PORT = 65535
_THREADS = "this server has one event loop per worker process; see --workers"
_LOADS = "models are always loaded and unloaded beside those that are served"

GROUPS: dict[str, tuple[Flag, ...]] = {
    "what is served": (
        Flag("model_name", str, "default", "name of the model (ignored with --model_config_file)"),
        Flag("model_base_path", str, "", "folder of numbered versions (ignored with --model_config_file, else needed)"),
        Flag("model_config_file", str, "", "text ModelServerConfig: several models, version policies, labels"),
        Flag("model_config_file_poll_wait_seconds", float, 0, "seconds between looks for changes; 0: never", least=0),
        Flag("file_system_poll_wait_seconds", float, 1, "seconds between looks for versions; 0: one, negative: none"),
        Flag("allow_version_labels_for_unavailable_models", bool, False, "labels may name versions not served yet"),
        Flag("max_num_load_retries", int, 5, "more attempts to load a version after the first", least=0),
        Flag("load_retry_interval_micros", int, 60_000_000, "microseconds between them"),
        Flag("enable_model_warmup", bool, True, "replay assets.extra/tf_serving_warmup_requests before serving"),
        Flag("num_request_iterations_for_warmup", int, 0, "replay them so often, if more than 0"),
        Flag("saved_model_tags", str, "serve", "comma-separated tags of the SavedModel's graph"),
        Flag("prefer_tflite_model", bool, False, "serve model.tflite where a version has one"),
        Flag("num_tflite_interpreters_per_pool", int, 1, "interpreters for a .tflite model", least=1),
        Flag("num_tflite_pools", int, 1, "pools of them: the product counts", least=1),
        Flag("enable_signature_method_name_check", bool, False, "Classify and Regress check the signature's method"),
    ),
    "gRPC": (
        Flag("port", int, 8500, "TCP port; 0: none", least=0, most=_LAST_PORT),
        Flag("grpc_socket_path", str, "", "a UNIX socket besides"),
        Flag("grpc_channel_arguments", str, "", "comma-separated, such as grpc.max_connection_age_ms=2000"),
        Flag("enable_grpc_healthcheck_service", bool, False, "gRPC's health service, by model as well"),
        Flag("enable_grpc_reflection", bool, False, "[ours] gRPC's reflection, for grpcurl"),
        Flag("enable_profiler", bool, True, "TensorFlow's profiler service, for this machine alone"),
        Flag("enable_serialization_as_tensor_content", bool, False, "answers as tensor_content"),
        Flag("grpc_max_threads", int, 0, "threads for messages", no_effect=_THREADS),
        Flag("use_alts_credentials", bool, False, "Google's ALTS", refused="ALTS works only inside Google Cloud"),
    ),
    "REST": (
        Flag("rest_api_port", int, 0, "TCP port; 0: no REST", least=0, most=_LAST_PORT),
        Flag("rest_api_timeout_in_ms", int, 30_000, "milliseconds for a call; 0: no limit", least=0),
        Flag("rest_api_enable_cors_support", bool, False, "CORS headers in answers"),
        Flag("monitoring_config_file", str, "", "text MonitoringConfig: Prometheus's page and its path"),
        Flag("rest_api_num_threads", int, 0, "threads for REST", no_effect=_THREADS),
    ),
    "speed": (
        Flag("workers", int, 1, "[ours] processes that share the ports", least=1, most=1024),
        Flag("enable_batching", bool, False, "requests that wait together run together"),
        Flag("batching_parameters_file", str, "", "text BatchingParameters"),
        Flag("enable_per_model_batching_parameters", bool, False, "from batching_params.pbtxt beside the model"),
        Flag("tensorflow_session_parallelism", int, 0, "threads of and within ops; 0: TensorFlow's choice", least=0),
        Flag("tensorflow_intra_op_parallelism", int, 0, "threads within an op", least=0),
        Flag("tensorflow_inter_op_parallelism", int, 0, "ops at a time", least=0),
        Flag("tensorflow_session_config_file", str, "", "text ConfigProto of TensorFlow"),
        Flag("per_process_gpu_memory_fraction", float, 0, "of the GPU's memory, 0 to 1", least=0, most=1),
    ),
    "who may ask": (
        Flag("ssl_config_file", str, "", "text SSLConfig: TLS and client certificates, for gRPC and REST"),
        Flag("ssl_certificate_file", str, "", "[ours] PEM, instead of --ssl_config_file, with --ssl_key_file"),
        Flag("ssl_key_file", str, "", "[ours] PEM"),
        Flag("ssl_ca_file", str, "", "[ours] PEM: clients need a certificate that one of these has signed"),
        Flag("api_keys_file", str, "", "[ours] text ApiKeys: who may ask which models"),
        Flag("security_poll_wait_seconds", float, 10, "[ours] seconds between looks for changes; 0: never", least=0),
        Flag("host", str, "0.0.0.0", "[ours] address that both ports bind"),
        Flag(
            "reload_from",
            str,
            "anywhere",
            "[ours] who may reload the configuration over gRPC: anywhere, loopback (a UNIX socket too) or nowhere",
            choices=("anywhere", "loopback", "nowhere"),
        ),
        Flag("reload_roots", str, "", "[ours] comma-separated folders that it may name models in; empty: any"),
    ),
    "limits": (
        Flag("max_concurrent_requests", int, 1024, "[ours] in flight per worker; more are refused at once", least=1),
        Flag(
            "max_message_bytes",
            int,
            64 * 2**20,
            "[ours] bytes of the largest request, unpacked too",
            least=1,
            most=2**31 - 1,
        ),
        Flag("max_request_rows", int, 2**16, "[ours] most strings or tf.Examples in a request", least=1),
        Flag("max_pending_bytes", int, 2**29, "[ours] bytes that a worker's requests may hold together", least=1),
        Flag("max_pending_rows", int, 2**18, "[ours] strings and tf.Examples likewise", least=1),
        # No more, because `json` and the walk over the values recurse.
        Flag("max_json_depth", int, 64, "[ours] deepest nesting of a request's JSON", least=2, most=500),
        Flag("max_json_values", int, 2**22, "[ours] most values in a request's JSON", least=1),
        Flag(
            "max_run_seconds", float, 300, "[ours] seconds for a run whose outputs come from a loop; 0: none", least=0
        ),
        Flag("max_connections", int, 1024, "[ours] connections of a worker, gRPC and REST together", least=1),
        Flag("worker_timeout_seconds", float, 20, "[ours] until a worker that hangs is replaced; 0: never", least=0),
        Flag("drain_seconds", float, 30, "[ours] seconds for requests in flight after SIGTERM", least=0),
    ),
    "accepted, without effect": (
        Flag("num_load_threads", int, 0, "threads that load models", no_effect=_LOADS),
        Flag("num_unload_threads", int, 0, "threads that unload them", no_effect=_LOADS),
        Flag("flush_filesystem_caches", bool, True, "after loading", no_effect="caches are the operating system's"),
        Flag("remove_unused_fields_from_bundle_metagraph", bool, True, "to save memory", no_effect="nothing keeps it"),
        Flag("xla_cpu_compilation_enabled", bool, False, "XLA on the CPU", no_effect="it is always allowed here"),
        Flag("xla_gpu_compilation_enabled", bool, False, "XLA on the GPU", no_effect="it is always allowed here"),
        Flag("skip_initialize_tpu", bool, False, "of TPUs", no_effect="this server runs on CPU and GPU"),
    ),
    "refused, unless empty": (
        Flag("platform_config_file", str, "", "PlatformConfigMap", refused="only TensorFlow's platform is served"),
        Flag("thread_pool_factory_config_file", str, "", "ThreadPoolConfig", refused="there are no pools to plug in"),
        Flag("mixed_precision", str, "", "bfloat16", refused="a model runs as it was exported"),
    ),
    "other": (
        Flag("version", bool, False, "print the versions and exit"),
        Flag("help", bool, False, "print this and exit"),
    ),
}

FLAGS: dict[str, Flag] = {flag.name: flag for group in GROUPS.values() for flag in group}


def usage(given: Mapping[str, Any] | None = None) -> str:
    """What --help prints, with the values `given` beside it: `transom serve` gives some of its own."""
    given = given or {}
    lines = [
        "usage: python -m serving.server --model_base_path=FOLDER [FLAGS]",
        "",
        "Serves SavedModels over gRPC and REST as tensorflow_model_server does, with its flags. Flags marked [ours]",
        "are not among them. A flag is --name=value, --name value, or --name alone for true.",
        "",
        "  python -m serving.server --model_name=reviews --model_base_path=/models/reviews --rest_api_port=8501",
        '  curl -d \'{"instances": ["so good"]}\' localhost:8501/v1/models/reviews:predict',
    ]
    for title, flags in GROUPS.items():
        lines += ["", f"{title}:"]
        for flag in flags:
            notes = [] if flag.default in ("", False) else [f"default: {str(flag.default).lower()}"]
            if flag.name != "help" and given.get(flag.name, flag.default) != flag.default:
                notes.append(f"here: {given[flag.name]}")
            name = f"--{flag.name}" + ("" if flag.kind is bool else f"={flag.kind.__name__.upper()}")
            lines += [f"  {name}", f"      {flag.help}" + (f" ({', '.join(notes)})" if notes else "")]
    return "\n".join(lines) + "\n"
