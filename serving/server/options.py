"""The options of a server: one field for each flag of `tensorflow_model_server` that applies here, and Transom's own.

`serving/server/flags.py` fills them from the command line; names and defaults are those of
tensorflow_serving/model_servers/server.h.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.server.api_keys import ApiKeys


@dataclass(frozen=True)
class ServerOptions:
    """The options of one server, the same for all of its workers.

    `flag_table.py` describes the flags; listed here are the fields that differ from their flag or need more words.

    Attributes:
        models: the `ModelServerConfig` message to start with.
        model_config_file: reread every `model_config_file_poll_wait_seconds` (0: never).
        batching: `BatchingParameters` of --batching_parameters_file as field name to value; None without
            --enable_batching.
        session_config: the `ConfigProto` message of --tensorflow_session_config_file, or None.
        metrics_path: the path of the Prometheus page (--monitoring_config_file); None for no page.
        page: whether `/` on the REST port is a page to try the models.
        max_message_bytes: limits a request as received, decompressed, and as tensors, over gRPC and REST.
        max_pending_bytes, max_pending_rows: what all requests of one worker may hold together; see `request_limits.py`.
        max_run_seconds: time limit for runs whose length depends on their input, such as those with a loop; 0: none.
        worker_timeout_seconds: a worker is replaced when its event loop gives no sign of life for this long; 0: never.
        tls_source: where `tls` was read from.
        api_keys: the accepted keys, None for open access; `api_keys_file` is where they were read from.
        reload_roots: the folders whose models a reload over gRPC may name, after following links; empty for any.
    """

    models: Any
    host: str = "0.0.0.0"
    port: int = 8500
    grpc_socket_path: Path | None = None
    rest_api_port: int = 0
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    model_config_file: Path | None = None
    model_config_file_poll_wait_seconds: float = 0.0
    file_system_poll_wait_seconds: float = 1.0
    allow_version_labels_for_unavailable_models: bool = False
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    batching: dict[str, Any] | None = None
    enable_per_model_batching_parameters: bool = False
    session_config: Any = None
    intra_op_parallelism: int = 0
    inter_op_parallelism: int = 0
    saved_model_tags: tuple[str, ...] = ("serve",)
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    prefer_tflite_model: bool = False
    num_tflite_interpreters: int = 1
    enable_signature_method_name_check: bool = False
    enable_serialization_as_tensor_content: bool = False
    enable_grpc_healthcheck_service: bool = False
    enable_grpc_reflection: bool = False
    enable_profiler: bool = True
    grpc_channel_arguments: tuple[tuple[str, Any], ...] = ()
    tls: TlsFiles | None = None
    tls_source: TlsSource | None = None
    api_keys: ApiKeys | None = None
    api_keys_file: Path | None = None
    security_poll_wait_seconds: float = 10.0
    metrics_path: str | None = None
    page: bool = False
    workers: int = 1
    max_concurrent_requests: int = 1024
    max_message_bytes: int = 64 * 2**20
    max_request_rows: int = 2**16
    max_pending_bytes: int = 2**29
    max_pending_rows: int = 2**18
    max_json_depth: int = 64
    max_json_values: int = 2**22
    max_run_seconds: float = 300.0
    max_connections: int = 1024
    worker_timeout_seconds: float = 20.0
    drain_seconds: float = 30.0
    reload_from: str = "anywhere"
    reload_roots: tuple[Path, ...] = ()


@dataclass(frozen=True)
class TlsFiles:
    """The contents of --ssl_config_file, as PEM. They secure gRPC, as in TF Serving, and also REST."""

    server_key: bytes = field(repr=False)
    server_cert: bytes
    custom_ca: bytes = b""
    client_verify: bool = False


@dataclass(frozen=True)
class TlsSource:
    """Where `TlsFiles` are read from: the file of --ssl_config_file, or (Transom) one file for each part.

    Attributes:
        config: text SSLConfig; None if the others are given.
        certificate, key: PEM.
        authority: PEM; if given, clients need a certificate signed by it.
    """

    config: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
