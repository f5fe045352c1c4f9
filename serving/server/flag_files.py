"""Reads the files that flags name: text protos, some with PEM inside (tensorflow_serving/config/*.proto).

Every `read_...` raises OptionsError if a file is missing, does not parse, or has content that cannot be used.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from serving.errors import OptionsError
from serving.server.api_keys import ApiKey, ApiKeys
from serving.server.options import TlsFiles, TlsSource
from serving.wire import protos

PROMETHEUS_PATH = "/monitoring/prometheus/metrics"

_SHA256 = re.compile("[0-9a-f]{64}")


def read_model_config(path: Path) -> Any:
    """`ModelServerConfig` of --model_config_file."""
    config = _read(path, protos.ModelServerConfig, "model_config_file")
    if config.WhichOneof("config") == "custom_model_config":
        raise OptionsError(
            f"--model_config_file {path}",
            got="custom_model_config",
            expected="model_config_list { config { name: ... base_path: ... } }",
            fix="list the models",
        )
    return config


def read_session_config(path: Path) -> Any:
    """`ConfigProto` of --tensorflow_session_config_file."""
    return _read(path, protos.ConfigProto, "tensorflow_session_config_file")


def read_batching(path: Path, flag: str = "batching_parameters_file") -> dict[str, Any]:
    """`BatchingParameters` as field name to value, for the fields that the file sets."""
    return {
        field.name: value.value if field.message_type else value if isinstance(value, bool) else list(value)
        for field, value in _read(path, protos.BatchingParameters, flag).ListFields()
    }


def read_metrics_path(path: Path) -> str | None:
    """The path of the Prometheus page from --monitoring_config_file; None if the page is not enabled."""
    prometheus = _read(path, protos.MonitoringConfig, "monitoring_config_file").prometheus_config
    if not prometheus.enable:
        return None
    page = prometheus.path or PROMETHEUS_PATH
    if not page.startswith("/"):
        what = f"prometheus_config.path in --monitoring_config_file {path}"
        raise OptionsError(what, got=repr(page), expected=f"a path such as {PROMETHEUS_PATH}", fix="begin it with /")
    return str(page)


def read_api_keys(path: Path) -> ApiKeys:
    """The keys of --api_keys_file (Transom)."""
    what = f"--api_keys_file {path}"
    by_hash: dict[str, ApiKey] = {}
    for entry in _read(path, protos.ApiKeys, "api_keys_file").api_key:
        key = ApiKey(entry.name, entry.sha256.lower(), frozenset(entry.model), entry.administers)
        if not key.name:
            raise OptionsError(what, got="a key without a name", expected="a name for each", fix="name its owner")
        if not _SHA256.fullmatch(key.sha256):
            expected, fix = "64 hexadecimal digits, the SHA-256 of the key", "printf %s KEY | sha256sum"
            raise OptionsError(f"{what}: {key.name}", got=f"sha256: {key.sha256!r}", expected=expected, fix=fix)
        if key.sha256 in by_hash:
            got = f"the key of {by_hash[key.sha256].name}"
            raise OptionsError(f"{what}: {key.name}", got=got, expected="a different key", fix="make a new key")
        by_hash[key.sha256] = key
    if not by_hash:
        raise OptionsError(what, got="no keys", expected="api_key { name: ... sha256: ... model: ... }", fix="add one")
    return ApiKeys(by_hash.values())


def read_tls_source(source: TlsSource) -> TlsFiles:
    """The keys and certificates of a source."""
    if source.config is not None:
        return read_tls(source.config)
    certificate, key, authority = source.certificate, source.key, source.authority
    assert certificate is not None, "a source without a config has a certificate"
    assert key is not None, "a certificate has a key"
    tls = TlsFiles(
        server_key=_text(key, "ssl_key_file").encode(),
        server_cert=_text(certificate, "ssl_certificate_file").encode(),
        custom_ca=_text(authority, "ssl_ca_file").encode() if authority else b"",
        client_verify=authority is not None,
    )
    what = f"--ssl_certificate_file {certificate} and --ssl_key_file {key}"
    what += f", --ssl_ca_file {authority}" if authority else ""
    _check_usable(tls, what, expected="PEM files of a certificate and its key", fix="check the files' contents")
    return tls


def read_tls(path: Path) -> TlsFiles:
    """Key, certificate and authority of --ssl_config_file."""
    config = _read(path, protos.SSLConfig, "ssl_config_file")
    tls = TlsFiles(
        server_key=config.server_key.encode(),
        server_cert=config.server_cert.encode(),
        custom_ca=config.custom_ca.encode(),
        client_verify=config.client_verify,
    )
    what = f"--ssl_config_file {path}"
    if tls.client_verify and not tls.custom_ca:
        fix = "put the certificate that signed the clients' certificates into custom_ca"
        raise OptionsError(what, got="client_verify without custom_ca", expected="both", fix=fix)
    _check_usable(
        tls,
        what,
        expected="a server_key and server_cert that belong together, as PEM texts, not as file names",
        fix="put the contents of the files between quotes, with \\n for each line break",
    )
    return tls


def _check_usable(tls: TlsFiles, what: str, *, expected: str, fix: str) -> None:
    try:
        ssl_context(tls)
    except (ssl.SSLError, ValueError) as error:
        got = f"a key or certificate that cannot be used ({error})"
        raise OptionsError(what, got=got, expected=expected, fix=fix) from error


def ssl_context(tls: TlsFiles) -> ssl.SSLContext:
    """The TLS context of a server with these keys and certificates.

    Raises:
        ssl.SSLError: they are not PEM, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _temporary_file(tls.server_cert) as certificate, _temporary_file(tls.server_key) as key:
        context.load_cert_chain(certificate, key, password="")
    if tls.custom_ca:
        context.load_verify_locations(cadata=tls.custom_ca.decode())
    if tls.client_verify:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.contextmanager
def _temporary_file(content: bytes) -> Iterator[str]:
    """A file that only this user can read: `ssl` takes only file names."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name


def _text(path: Path, flag: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else "bytes that are not UTF-8"
        fix = "check the path and its permissions"
        raise OptionsError(f"--{flag} {path}", got=str(got), expected="a text file", fix=fix) from error


def _read(path: Path, kind: Any, flag: str) -> Any:
    text = _text(path, flag)
    try:
        return text_format.Parse(text, kind(), descriptor_pool=protos.POOL)
    except (text_format.ParseError, ValueError) as error:
        fields = ", ".join(field.name for field in kind.DESCRIPTOR.fields)
        own = flag == "api_keys_file"
        raise OptionsError(
            f"--{flag} {path}",
            # TF Serving's words, followed by the position.
            got=f"Error parsing text-format {kind.DESCRIPTOR.full_name}: {error}",
            expected=f"{kind.DESCRIPTOR.name} as text, with the fields {fields}",
            fix="see docs/serving.md" if own else "see TensorFlow Serving's documentation of the file",
        ) from error
