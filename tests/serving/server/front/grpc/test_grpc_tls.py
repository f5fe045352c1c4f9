"""gRPC over TLS, and REST with the options that both share."""

import ssl
from pathlib import Path

import grpc
import httpx
import pytest
from fronts import predict_request, with_fronts
from self_signed import self_signed

from serving.errors import OptionsError
from serving.server.flag_files import read_tls


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Self-signed keys and certificates of a server and of a client, as {name: (key, certificate)}."""
    folder = tmp_path_factory.mktemp("tls")
    made = {}
    for name in ("server", "client"):
        (folder / name).mkdir()
        made[name] = self_signed(folder / name)
    return made


def ssl_config(folder: Path, certificates, client_verify=False):
    key, certificate = certificates["server"]
    quoted = {name: repr(path.read_text()).replace("'", '"') for name, path in (("k", key), ("c", certificate))}
    text = f"server_key: {quoted['k']}\nserver_cert: {quoted['c']}\n"
    if client_verify:
        authority = repr(certificates["client"][1].read_text()).replace("'", '"')
        text += f"custom_ca: {authority}\nclient_verify: true\n"
    file = folder / "ssl.txt"
    file.write_text(text)
    return file


def secure_call(port, root, pair=None):
    async def call():
        key, certificate = (path.read_bytes() for path in pair) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(root.read_bytes(), key, certificate)
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            try:
                await method(predict_request(x=[1]).SerializeToString(), timeout=5)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

    return call()


def test_tls_and_mutual_tls_secure_grpc_and_rest(tmp_path, certificates):
    root = certificates["server"][1]

    def rest(port, pair=None):
        context = ssl.create_default_context(cafile=root)
        if pair:
            context.load_cert_chain(pair[1], pair[0])
        return httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=context, timeout=10)

    async def one_sided(fronts):
        chosen = fronts.frontend.options
        assert await secure_call(chosen.port, root) == "OK"
        async with rest(chosen.rest_api_port) as http:
            assert (await http.get("/v1/models/m")).status_code == 200

    async def mutual(fronts):
        chosen = fronts.frontend.options
        assert await secure_call(chosen.port, root) == "UNAVAILABLE"
        assert await secure_call(chosen.port, root, certificates["client"]) == "OK"
        assert await secure_call(chosen.port, root, certificates["server"]) == "UNAVAILABLE"
        async with rest(chosen.rest_api_port, certificates["client"]) as http:
            assert (await http.get("/v1/models/m")).status_code == 200
        async with rest(chosen.rest_api_port) as http:
            with pytest.raises(httpx.HTTPError):
                await http.get("/v1/models/m")

    with_fronts(one_sided, tls=read_tls(ssl_config(tmp_path, certificates)))
    with_fronts(mutual, tls=read_tls(ssl_config(tmp_path, certificates, client_verify=True)))


def test_new_certificates_apply_to_new_connections(tmp_path, certificates):
    other = {"server": certificates["client"]}
    (tmp_path / "other").mkdir()

    async def test(fronts):
        port = fronts.frontend.options.port
        assert await secure_call(port, certificates["server"][1]) == "OK"
        fronts.grpc.reload_tls(read_tls(ssl_config(tmp_path / "other", other)))
        assert await secure_call(port, certificates["server"][1]) == "UNAVAILABLE"
        assert await secure_call(port, certificates["client"][1]) == "OK"

    with_fronts(test, tls=read_tls(ssl_config(tmp_path, certificates)))


def test_keys_that_do_not_belong_together_are_refused(tmp_path, certificates):
    mixed = {"server": (certificates["client"][0], certificates["server"][1])}
    with pytest.raises(OptionsError, match="cannot be used"):
        read_tls(ssl_config(tmp_path, mixed))
