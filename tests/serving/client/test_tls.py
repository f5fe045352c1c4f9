"""grpcs:// and https:// with a private authority and client certificates."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fake_serving import FakeServing

from serving.client import AsyncClient, Client, ClientError, Tls, Unavailable


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (ca), and certificates and keys that it signed for a server and a client."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    return folder


@pytest.fixture
def secured(certificates: Path) -> Iterator[FakeServing]:
    """A server that accepts only clients with a certificate of the authority."""

    def read(name: str) -> bytes:
        return (certificates / name).read_bytes()

    credentials = grpc.ssl_server_credentials([(read("server.key"), read("server.pem"))], read("ca.pem"), True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with FakeServing(credentials=credentials, context=context) as server:
        yield server


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_both_sides_present_their_certificates(secured: FakeServing, certificates: Path, wire: str) -> None:
    tls = Tls(certificates / "ca.pem", certificates / "client.pem", certificates / "client.key")
    with Client(secured.url(wire), "stars", tls=tls) as client:
        assert client.predict(["four"])[0].score == 4.0

    async def ask() -> float:
        async with AsyncClient(secured.url(wire), "stars", tls=tls) as client:
            return (await client.predict(["four"]))[0].score

    assert asyncio.run(ask()) == 4.0


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_an_unknown_server_and_an_unknown_client_are_refused(
    secured: FakeServing, certificates: Path, wire: str
) -> None:
    with Client(secured.url(wire), "stars", retries=0) as client, pytest.raises(Unavailable):
        client.status()
    without_certificate = Tls(certificates / "ca.pem")
    with Client(secured.url(wire), "stars", retries=0, tls=without_certificate) as client, pytest.raises(ClientError):
        client.status()
