"""TLS under siege: handshakes that never end, the wrong protocol on a port, certificates that have expired."""

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

from benchmarks.siege.server import HOST, Server, besieged
from benchmarks.siege.target import Target, crowd, receive, send, unverified
from benchmarks.siege.wire import HEALTH_CHECK, PREFACE, settings

CROWD, HOLD_S, MOST_S = 450, 4.0, 1.0


def certificate(folder: Path, name: str, days: int) -> tuple[Path, Path]:
    """A key and a certificate for localhost that signs itself, of so many days from now; -1: it expired yesterday."""
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


def besieged_handshakes(config: Path, folder: Path, tree: Path) -> list[str]:
    """Handshakes that never end, plain HTTP to TLS, junk: meanwhile new connections are served within a second."""
    key, cert = certificate(folder, "good", 5)
    said: list[str] = []
    with besieged(
        config, folder / "tls.log", tree=tree, flags=[f"--ssl_config_file={config_of(folder, key, cert)}"]
    ) as server:
        target, stop, waits = Target(server), threading.Event(), [_ask(server, cert)]
        prober = threading.Thread(target=_probe, args=(server, cert, stop, waits, said), daemon=True)
        prober.start()
        hello = _client_hello()
        for port in (server.port, server.rest_port):
            for first in (b"", hello[:50], hello, b"\x16\x03\x01\xff\xff" + bytes(1000)):
                with crowd(lambda port=port: target.raw(port, 5), CROWD, first):
                    time.sleep(HOLD_S)
            for first in (b"GET /v1/models/half_plus_two HTTP/1.1\r\n\r\n", PREFACE + settings(), bytes(500)):
                with contextlib.suppress(OSError), target.raw(port, 2) as end:
                    send(end, first)
                    receive(end, 500)
        stop.set()
        prober.join()
        if max(waits) > MOST_S:
            said.append(f"new connections waited up to {max(waits):.1f} s")
        if not server.alive():
            said.append(f"the server ended with {server.process.returncode}")
        if server.log_size() > 64 * 1024:
            said.append(f"the log has {server.log_size() / 1024:,.0f} KiB")
    return said


def expired_certificate(config: Path, folder: Path, tree: Path) -> list[str]:
    """An expired certificate at the start is said, and is no reason to serve nobody who does not look."""
    key, cert = certificate(folder, "old", -1)
    log = folder / "expired.log"
    with contextlib.ExitStack() as stack:
        flag = f"--ssl_config_file={config_of(folder, key, cert)}"
        server = stack.enter_context(besieged(config, log, tree=tree, flags=[flag]))
        plain = stack.enter_context(socket.create_connection((HOST, server.rest_port), 10))
        end = stack.enter_context(unverified().wrap_socket(plain))
        end.sendall(b"GET /v1/models/half_plus_two HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = end.recv(100)
    said = [] if b" 200 " in answer else [f"answered {answer[:60]!r}"]
    return said if "expired" in log.read_text(errors="replace") else [*said, "the log does not say that it has expired"]


def _ask(server: Server, cert: Path) -> float:
    """Seconds of a health check and of a status over new connections."""
    began = time.monotonic()
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"localhost:{server.port}", credentials, options=options) as channel:
        channel.unary_unary(HEALTH_CHECK)(b"", timeout=20, wait_for_ready=True)
    context = ssl.create_default_context(cafile=str(cert))
    plain = socket.create_connection((HOST, server.rest_port), 20)
    with plain, context.wrap_socket(plain, server_hostname="localhost") as end:
        end.sendall(b"GET /v1/models/half_plus_two HTTP/1.1\r\nHost: a\r\n\r\n")
        if b" 200 " not in end.recv(100):
            raise OSError("no answer over TLS")
    return time.monotonic() - began


def _probe(server: Server, cert: Path, stop: threading.Event, waits: list[float], said: list[str]) -> None:
    while not stop.is_set():
        try:
            waits.append(_ask(server, cert))
        except (OSError, grpc.RpcError) as error:
            said.append(f"a new connection failed: {error}"[:200])
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
