"""The table of flags: those of `tensorflow_model_server` (tensorflow_serving/model_servers/main.cc) and Transom's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LEAST, MOST = -(2**63), 2**63 - 1
"""The default bounds of a number. Infinity is outside them: a wait that long overflows a clock."""


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        kind: bool, int, float or str.
        default: the value without the flag.
        help: a line for --help.
        no_effect: why the flag means nothing here; a warning gives this reason when the flag is set.
        refused: why any value but the default is refused: to accept it would be misleading.
        least, most: bounds of a number.
        choices: the allowed texts; empty for any.
    """

    name: str
    kind: type
    default: Any
    help: str
    no_effect: str = ""
    refused: str = ""
    least: float = LEAST
    most: float = MOST
    choices: tuple[str, ...] = ()


TRANSOM = "[Transom] "
"""Marks the help of a flag that `tensorflow_model_server` does not have."""

_LAST_PORT = 65535
_THREADS = "this server has one event loop per worker process; see --workers"
_LOADS = "models are always loaded and unloaded alongside the served ones"

GROUPS: dict[str, tuple[Flag, ...]] = {
    "models": (
        Flag("model_name", str, "default", "name of the model (ignored with --model_config_file)"),
        Flag("model_base_path", str, "", "folder of numbered versions (required without --model_config_file)"),
        Flag("model_config_file", str, "", "text ModelServerConfig: several models, version policies, labels"),
        Flag("model_config_file_poll_wait_seconds", float, 0, "seconds between checks for changes; 0: never", least=0),
        Flag("file_system_poll_wait_seconds", float, 1, "seconds between version scans; 0: scan once, negative: never"),
        Flag("allow_version_labels_for_unavailable_models", bool, False, "labels may name versions not yet served"),
        Flag("max_num_load_retries", int, 5, "retries after a version first fails to load", least=0),
        Flag("load_retry_interval_micros", int, 60_000_000, "microseconds between them"),
        Flag("enable_model_warmup", bool, True, "replay assets.extra/tf_serving_warmup_requests before serving"),
        Flag("num_request_iterations_for_warmup", int, 0, "times to replay them, if more than 0"),
        Flag("saved_model_tags", str, "serve", "comma-separated tags of the SavedModel's graph"),
        Flag("prefer_tflite_model", bool, False, "serve model.tflite where a version has one"),
        Flag("num_tflite_interpreters_per_pool", int, 1, "interpreters for a .tflite model", least=1),
        Flag("num_tflite_pools", int, 1, "pools of interpreters; only the product of the two matters", least=1),
        Flag("enable_signature_method_name_check", bool, False, "Classify and Regress check the signature's method"),
    ),
    "gRPC": (
        Flag("port", int, 8500, "TCP port; 0: none", least=0, most=_LAST_PORT),
        Flag("grpc_socket_path", str, "", "also listen on this UNIX socket"),
        Flag("grpc_channel_arguments", str, "", "comma-separated, such as grpc.max_connection_age_ms=2000"),
        Flag("enable_grpc_healthcheck_service", bool, False, "gRPC's health service, also per model"),
        Flag("enable_grpc_reflection", bool, False, "[Transom] gRPC's reflection, for grpcurl"),
        Flag("enable_profiler", bool, True, "TensorFlow's profiler service, for local clients only"),
        Flag("enable_serialization_as_tensor_content", bool, False, "responses use tensor_content"),
        Flag("grpc_max_threads", int, 0, "threads for gRPC", no_effect=_THREADS),
        Flag("use_alts_credentials", bool, False, "Google's ALTS", refused="ALTS works only inside Google Cloud"),
    ),
    "REST": (
        Flag("rest_api_port", int, 0, "TCP port; 0: no REST", least=0, most=_LAST_PORT),
        Flag("rest_api_timeout_in_ms", int, 30_000, "milliseconds per request; 0: no limit", least=0),
        Flag("rest_api_enable_cors_support", bool, False, "CORS headers in responses"),
        Flag("monitoring_config_file", str, "", "text MonitoringConfig: Prometheus's page and its path"),
        Flag("page", bool, False, "[Transom] a page to try the models in a browser, at / of --rest_api_port"),
        Flag("rest_api_num_threads", int, 0, "threads for REST", no_effect=_THREADS),
    ),
    "performance": (
        Flag("workers", int, 1, "[Transom] processes that share the ports", least=1, most=1024),
        Flag("enable_batching", bool, False, "run waiting requests together"),
        Flag("batching_parameters_file", str, "", "text BatchingParameters"),
        Flag("enable_per_model_batching_parameters", bool, False, "from batching_params.pbtxt next to the model"),
        Flag("tensorflow_session_parallelism", int, 0, "threads for both below; 0: TensorFlow's choice", least=0),
        Flag("tensorflow_intra_op_parallelism", int, 0, "threads within an op", least=0),
        Flag("tensorflow_inter_op_parallelism", int, 0, "ops that run at the same time", least=0),
        Flag("tensorflow_session_config_file", str, "", "text ConfigProto of TensorFlow"),
        Flag("per_process_gpu_memory_fraction", float, 0, "fraction of the GPU's memory, 0 to 1", least=0, most=1),
    ),
    "access": (
        Flag("ssl_config_file", str, "", "text SSLConfig: TLS and client certificates, for gRPC and REST"),
        Flag("ssl_certificate_file", str, "", "[Transom] PEM, instead of --ssl_config_file, with --ssl_key_file"),
        Flag("ssl_key_file", str, "", "[Transom] PEM"),
        Flag("ssl_ca_file", str, "", "[Transom] PEM: clients need a certificate signed by one of these"),
        Flag("api_keys_file", str, "", "[Transom] text ApiKeys: which key may query which models"),
        Flag("security_poll_wait_seconds", float, 10, "[Transom] seconds between rereads; 0: never", least=0),
        Flag("host", str, "0.0.0.0", "[Transom] address of both ports"),
        Flag(
            "reload_from",
            str,
            "anywhere",
            "[Transom] who may reload the configuration over gRPC: anywhere, loopback (a UNIX socket too) or nowhere",
            choices=("anywhere", "loopback", "nowhere"),
        ),
        Flag("reload_roots", str, "", "[Transom] comma-separated folders whose models a reload may name; empty: any"),
    ),
    "limits": (
        Flag("max_concurrent_requests", int, 1024, "[Transom] in flight per worker; more are refused", least=1),
        Flag(
            "max_message_bytes",
            int,
            2**26,
            "[Transom] largest request in bytes, also unpacked",
            least=1,
            most=2**31 - 1,
        ),
        Flag("max_request_rows", int, 2**16, "[Transom] maximum strings or tf.Examples per request", least=1),
        Flag("max_pending_bytes", int, 2**29, "[Transom] bytes that a worker's requests may hold together", least=1),
        Flag("max_pending_rows", int, 2**18, "[Transom] strings and tf.Examples that they may hold together", least=1),
        # At most 500, because `json` and the walk over the values recurse.
        Flag("max_json_depth", int, 64, "[Transom] maximum nesting of a request's JSON", least=2, most=500),
        Flag("max_json_values", int, 2**22, "[Transom] maximum values in a request's JSON", least=1),
        Flag("max_run_seconds", float, 300, "[Transom] seconds per run with a loop; 0: no limit", least=0),
        Flag("max_connections", int, 1024, "[Transom] connections per worker, gRPC and REST together", least=1),
        Flag("worker_timeout_seconds", float, 20, "[Transom] seconds until a hung one is replaced; 0: never", least=0),
        Flag("drain_seconds", float, 30, "[Transom] seconds that requests in flight may take after SIGTERM", least=0),
    ),
    "accepted without effect": (
        Flag("num_load_threads", int, 0, "threads that load models", no_effect=_LOADS),
        Flag("num_unload_threads", int, 0, "threads that unload models", no_effect=_LOADS),
        Flag("flush_filesystem_caches", bool, True, "after loading", no_effect="the operating system owns them"),
        Flag("remove_unused_fields_from_bundle_metagraph", bool, True, "to save memory", no_effect="nothing keeps it"),
        Flag("xla_cpu_compilation_enabled", bool, False, "XLA on the CPU", no_effect="it is always allowed here"),
        Flag("xla_gpu_compilation_enabled", bool, False, "XLA on the GPU", no_effect="it is always allowed here"),
        Flag("skip_initialize_tpu", bool, False, "no TPUs", no_effect="this server runs on CPU and GPU"),
    ),
    "refused unless empty": (
        Flag("platform_config_file", str, "", "PlatformConfigMap", refused="only TensorFlow's platform is served"),
        Flag("thread_pool_factory_config_file", str, "", "ThreadPoolConfig", refused="there are no pools to plug in"),
        Flag("mixed_precision", str, "", "bfloat16", refused="a model runs as it was exported"),
    ),
    "other": (
        Flag("version", bool, False, "print the versions and exit"),
        Flag("help", bool, False, "print this help and exit"),
    ),
}

FLAGS: dict[str, Flag] = {flag.name: flag for group in GROUPS.values() for flag in group}
