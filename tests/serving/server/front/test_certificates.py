"""Certificates in files that change while the server runs, and that expire."""

import asyncio
import contextlib
import logging
import shutil
import ssl
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from fronts import HOST, with_fronts
from self_signed import self_signed
from tiny_servers import until

from serving.errors import OptionsError
from serving.server.flag_files import read_tls_source as read
from serving.server.flags import parse, to_options
from serving.server.front.certificate_expiry import ExpiryWarnings, earliest_expiry
from serving.server.options import TlsFiles, TlsSource
from serving.server.processes.watched_files import watch_files


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Creates a self-signed key and certificate in a new folder."""

    def make(name, days=30):
        folder = tmp_path_factory.mktemp(name)
        self_signed(folder, name, days)
        return folder

    return make


@pytest.fixture(scope="module")
def first(made):
    return made("first")


@pytest.fixture(scope="module")
def second(made):
    return made("second")


def source_in(folder, **more):
    return TlsSource(certificate=folder / "cert.pem", key=folder / "key.pem", **more)


def put(folder, source):
    """Replaces a pair by another, the key first, so that for a moment they do not match."""
    for name in ("key.pem", "cert.pem"):
        shutil.copy(source / name, folder / name)


@contextlib.asynccontextmanager
async def following(source, apply, seconds=0.02):
    task = asyncio.create_task(watch_files("certificates", lambda: read(source), read(source), apply, seconds))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_changed_files_are_passed_on_unless_they_are_invalid(tmp_path, first, second, caplog):
    caplog.set_level(logging.INFO, "serving")
    put(tmp_path, first)
    applied = []

    async def test():
        async with following(source_in(tmp_path), applied.append):
            await asyncio.sleep(0.1)
            assert not applied
            shutil.copy(second / "key.pem", tmp_path / "key.pem")
            await until(lambda: "the certificates in force stay: --ssl_certificate_file" in caplog.text)
            (tmp_path / "key.pem").unlink()
            await until(lambda: "No such file" in caplog.text)
            await asyncio.sleep(0.1)
            assert caplog.text.count("No such file") == 1  # not at every check
            put(tmp_path, second)
            await until(lambda: applied)

    asyncio.run(test())
    assert applied == [read(source_in(second))]


def test_unusable_files_do_not_end_the_watch(tmp_path, first, second):
    put(tmp_path, first)
    tries = []

    def apply(tls):
        tries.append(tls)
        if len(tries) == 1:
            raise ssl.SSLError("not now")

    async def test():
        async with following(source_in(tmp_path), apply):
            put(tmp_path, second)
            await until(lambda: len(tries) == 2)

    asyncio.run(test())


def presented_certificate(port):
    """The certificate that the server presents on a new connection."""
    pem = ssl.get_server_certificate((HOST, port), timeout=10)
    return pem.replace("\n", "")


def test_new_connections_get_the_new_certificate_and_old_ones_continue(first, second):
    old, new = (read(source_in(folder)) for folder in (first, second))
    body = b'{"instances": [1.0]}'

    async def test(fronts):
        chosen = fronts.frontend.options
        reader, writer = await asyncio.open_connection(HOST, chosen.rest_api_port, ssl=trusting(first))
        for server in (fronts.grpc, fronts.rest):
            server.reload_tls(new)
        for port in (chosen.port, chosen.rest_api_port):
            shown = await asyncio.to_thread(presented_certificate, port)
            assert shown == new.server_cert.decode().replace("\n", "")
        writer.write(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        credentials = grpc.ssl_channel_credentials(new.server_cert)
        async with grpc.aio.secure_channel(f"localhost:{chosen.port}", credentials) as channel:
            await asyncio.wait_for(channel.channel_ready(), 10)

    with_fronts(test, tls=old)


def test_a_new_authority_replaces_the_old_one(first, second):
    def demanding(authority):
        return read(source_in(first, authority=authority / "cert.pem"))

    async def status(port, client):
        context = trusting(first)
        context.load_cert_chain(client / "cert.pem", client / "key.pem")
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        writer.write(b"GET /v1/models/m HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            return (await reader.readline())[:12]
        except ssl.SSLError:
            return b""
        finally:
            writer.close()

    async def test(fronts):
        port = fronts.frontend.options.rest_api_port
        assert [await status(port, client) for client in (first, second)] == [b"HTTP/1.1 200", b""]
        fronts.rest.reload_tls(demanding(second))
        assert [await status(port, client) for client in (first, second)] == [b"", b"HTTP/1.1 200"]

    with_fronts(test, tls=demanding(first))


def trusting(folder):
    return ssl.create_default_context(cafile=folder / "cert.pem")


def test_the_certificate_that_expires_first_is_reported(made, first):
    both = (made("short", days=3) / "cert.pem").read_bytes() + (first / "cert.pem").read_bytes()
    left = earliest_expiry(both) - datetime.now(UTC)
    assert timedelta(days=2.9) < left < timedelta(days=3.1)
    assert earliest_expiry(b"no certificate") is None
    assert earliest_expiry(both.replace(b"MII", b"AAA", 1)) > datetime.now(UTC) + timedelta(days=29)
    far = (made("far", days=365 * 60) / "cert.pem").read_bytes()  # times beyond 2050 have another format
    assert earliest_expiry(far) > datetime.now(UTC) + timedelta(days=365 * 59)


def test_an_expiry_is_logged_in_time_and_once(first, caplog):
    tls = read(source_in(first, authority=first / "cert.pem"))
    end, expiry = earliest_expiry(tls.server_cert), ExpiryWarnings(tls)
    days = [20, 15, 13.9, 13, 2, 0.9, 0.5, -0.1, -3]
    logged = []
    for day in days:
        caplog.clear()
        expiry.warn_if_due(end - timedelta(days=day))
        logged.append([record.levelname for record in caplog.records])
    warning, error, nothing = ["WARNING"] * 2, ["ERROR"] * 2, []
    assert logged == [nothing, nothing, warning, nothing, nothing, warning, nothing, error, nothing]


def test_an_expired_certificate_does_not_prevent_starting(first, caplog):
    ExpiryWarnings(TlsFiles(server_key=b"", server_cert=(first / "cert.pem").read_bytes())).warn_if_due(
        datetime(2999, 1, 1, tzinfo=UTC)
    )
    assert "has expired at" in caplog.text


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (("certificate",), "give the certificate and its key"),
        (("key",), "give the certificate and its key"),
        (("ca",), "give the certificate and its key"),
        (("config", "certificate", "key"), "leave it out"),
    ],
)
def test_conflicting_flags_are_refused(tmp_path, given, part):
    flags = [f"--ssl_{name}_file={tmp_path / name}" for name in given]
    with pytest.raises(OptionsError, match=part):
        to_options(parse(["--model_base_path=/m", *flags]))


def test_unusable_files_are_refused_and_usable_ones_read(tmp_path, first, second):
    def options(certificate, key, *more):
        flags = [f"--ssl_certificate_file={certificate / 'cert.pem'}", f"--ssl_key_file={key / 'key.pem'}", *more]
        return to_options(parse(["--model_base_path=/m", *flags]))

    with pytest.raises(OptionsError, match="cannot be used"):
        options(first, second)
    with pytest.raises(OptionsError, match="No such file"):
        options(first, tmp_path)
    authority = second / "cert.pem"
    chosen = options(first, first, f"--ssl_ca_file={authority}", "--security_poll_wait_seconds=3")
    assert chosen.tls == read(source_in(first, authority=authority))
    assert chosen.tls.client_verify
    assert chosen.security_poll_wait_seconds == 3
