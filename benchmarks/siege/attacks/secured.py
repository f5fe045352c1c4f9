"""TLS: handshakes that never end, the wrong protocol on a port, expired certificates."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.siege.server import HOST, SiegeServer, start_server
from benchmarks.siege.target import AttackTarget, open_connections, receive, send, unverified
from benchmarks.siege.wire import HEALTH_CHECK, PREFACE, settings

CROWD, HOLD_S, MOST_S = 450, 4.0, 1.0


def certificate(folder: Path, name: str, days: int) -> tuple[Path, Path]:
    """A key and a self-signed certificate for localhost, valid for `days` from now; -1: it expired yesterday."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=10)).not_valid_after(now + timedelta(days=days))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = builder.sign(key, hashes.SHA256())
    paths = folder / f"{name}.key", folder / f"{name}.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[0].write_bytes(key.private_bytes(pem, *plain))
    paths[1].write_bytes(signed.public_bytes(pem))
    return paths


def config_of(folder: Path, key: Path, cert: Path) -> Path:
    """An `SSLConfig` file."""
    lines = [f"{name}: {_quoted(path)}" for name, path in (("server_key", key), ("server_cert", cert))]
    path = folder / f"{cert.stem}.ssl"
    path.write_text("\n".join(lines))
    return path


def stalled_handshakes(config: Path, folder: Path, tree: Path) -> list[str]:
    """Handshakes that never end, plain HTTP, and junk; meanwhile new connections must be served within a second."""
    key, cert = certificate(folder, "good", 5)
    problems: list[str] = []
    with start_server(
        config, folder / "tls.log", tree=tree, flags=[f"--ssl_config_file={config_of(folder, key, cert)}"]
    ) as server:
        target, stop, waits = AttackTarget(server), threading.Event(), [_time_requests(server, cert)]
        prober = threading.Thread(target=_probe, args=(server, cert, stop, waits, problems), daemon=True)
        prober.start()
        hello = _client_hello()
        for port in (server.port, server.rest_port):
            for first in (b"", hello[:50], hello, b"\x16\x03\x01\xff\xff" + bytes(1000)):
                with open_connections(lambda port=port: target.raw(port, 5), CROWD, first):
                    time.sleep(HOLD_S)
            for first in (b"GET /v1/models/half_plus_two HTTP/1.1\r\n\r\n", PREFACE + settings(), bytes(500)):
                with contextlib.suppress(OSError), target.raw(port, 2) as connection:
                    send(connection, first)
                    receive(connection, 500)
        stop.set()
        prober.join()
        if max(waits) > MOST_S:
            problems.append(f"new connections waited up to {max(waits):.1f} s")
        if not server.alive():
            problems.append(f"the server ended with {server.process.returncode}")
        if server.log_size() > 64 * 1024:
            problems.append(f"the log has {server.log_size() / 1024:,.0f} KiB")
    return problems


def expired_certificate(config: Path, folder: Path, tree: Path) -> list[str]:
    """The log must mention an expired certificate, and clients that do not verify it must still be served."""
    key, cert = certificate(folder, "old", -1)
    log = folder / "expired.log"
    with contextlib.ExitStack() as stack:
        flag = f"--ssl_config_file={config_of(folder, key, cert)}"
        server = stack.enter_context(start_server(config, log, tree=tree, flags=[flag]))
        plain = stack.enter_context(socket.create_connection((HOST, server.rest_port), 10))
        connection = stack.enter_context(unverified().wrap_socket(plain))
        connection.sendall(b"GET /v1/models/half_plus_two HTTP/1.1\r\nHost: a\r\n\r\n")
        response = connection.recv(100)
    problems = [] if b" 200 " in response else [f"answered {response[:60]!r}"]
    return (
        problems
        if "expired" in log.read_text(errors="replace")
        else [*problems, "the log does not say that it has expired"]
    )


def _time_requests(server: SiegeServer, cert: Path) -> float:
    """Seconds for a health check and a status request on new connections."""
    began = time.monotonic()
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"localhost:{server.port}", credentials, options=options) as channel:
        channel.unary_unary(HEALTH_CHECK)(b"", timeout=20, wait_for_ready=True)
    context = ssl.create_default_context(cafile=str(cert))
    plain = socket.create_connection((HOST, server.rest_port), 20)
    with plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(b"GET /v1/models/half_plus_two HTTP/1.1\r\nHost: a\r\n\r\n")
        if b" 200 " not in connection.recv(100):
            raise OSError("no answer over TLS")
    return time.monotonic() - began


def _probe(server: SiegeServer, cert: Path, stop: threading.Event, waits: list[float], problems: list[str]) -> None:
    while not stop.is_set():
        try:
            waits.append(_time_requests(server, cert))
        except (OSError, grpc.RpcError) as error:
            problems.append(f"a new connection failed: {error}"[:200])
            return
        time.sleep(0.1)


def _client_hello() -> bytes:
    read, write = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = unverified().wrap_bio(read, write, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return write.read()


def _quoted(path: Path) -> str:
    return '"' + path.read_text().replace("\n", "\\n") + '"'
