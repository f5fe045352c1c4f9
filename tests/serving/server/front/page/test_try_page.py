"""The page over HTTP: off unless asked for, its header, its methods, and what it tells to whom."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal

import httpx
import pytest
from fronts import HOST, with_fronts
from self_signed import self_signed
from server_processes import server

from serving.server.api_keys import ApiKey, ApiKeys
from serving.server.flags import single_model
from serving.server.options import ServerOptions, TlsFiles
from serving.server.processes.serving_process import page_address
from serving.wire import protos

MODELS = "/page/models"
TASK = "/page/models/{}/versions/{}"
HEADER = {
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def two_models(**base_paths):
    """The configuration of models m and n; m has a label."""
    config = single_model("m", str(base_paths.get("m", "/m")))
    config.model_config_list.config[0].version_labels["stable"] = 1
    config.model_config_list.config.add(name="n", base_path=str(base_paths.get("n", "/n")))
    return config


def key_of(key, *models):
    return ApiKey(key, hashlib.sha256(key.encode()).hexdigest(), frozenset(models))


@pytest.mark.parametrize("path", ["/", "/?text=a", MODELS, TASK.format("m", 1)])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_without_the_flag_its_paths_are_not_found_as_in_tf_serving(method, path):
    async def test(fronts):
        response = await fronts.http.request(method, path)
        assert (response.status_code, response.headers["Content-Type"]) == (404, "application/json")
        assert response.text == ("" if method == "HEAD" else '{\n  "error": "Not Found"\n}')
        assert "Content-Security-Policy" not in response.headers

    with_fronts(test)


def test_the_page_is_one_document_with_a_strict_header():
    async def test(fronts):
        response = await fronts.http.get("/")
        assert response.status_code == 200
        assert {name: response.headers[name] for name in HEADER} == HEADER
        assert (await fronts.http.get("/?a=b")).text == response.text
        head = await fronts.http.head("/")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Security-Policy"] == response.headers["Content-Security-Policy"]
        plain = await fronts.http.get("/", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert plain.text == response.text
        assert int(plain.headers["Content-Length"]) == len(plain.content)

    with_fronts(test, page=True)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_and_paths_are_answered_as_without_the_page(method):
    async def test(fronts):
        answers = [await fronts.http.request(method, path) for path in ("/", MODELS, TASK.format("m", 1))]
        answers += [await fronts.http.get(path) for path in ("/page", "/index.html", f"{MODELS}/m", "/favicon.ico")]
        answers.append(await fronts.http.head(MODELS))
        assert {response.status_code for response in answers} == {404}
        assert {response.headers["Content-Type"] for response in answers} == {"application/json"}

    with_fronts(test, page=True)


def test_the_models_are_those_of_the_configuration_in_force():
    async def test(fronts):
        response = await fronts.http.get(MODELS)
        assert response.headers["Cache-Control"] == "no-store"
        found = response.json()
        assert found["models"] == [{"name": "m", "labels": ["stable"]}, {"name": "n", "labels": []}]
        assert found["grpc"] == {"port": fronts.frontend.options.port, "tls": False}
        request = protos.ReloadConfigRequest(config=single_model("other", "/o"))
        await fronts.call("HandleReloadConfigRequest", request, protos.MODEL_SERVICE)
        assert (await fronts.http.get(MODELS)).json()["models"] == [{"name": "other", "labels": []}]

    with_fronts(test, page=True, models=two_models())


def test_with_api_keys_the_page_is_open_but_models_are_told_only_to_their_keys():
    keys = ApiKeys([key_of("k1", "n", "absent"), key_of("k2", "*"), key_of("k3", "absent")])

    async def test(fronts):
        async def models(key):
            response = await fronts.http.get(MODELS, headers={"Authorization": f"Bearer {key}"} if key else {})
            if response.status_code != 200:
                assert response.headers["WWW-Authenticate"] == "Bearer"
                return response.status_code
            return [one["name"] for one in response.json()["models"]]

        page = await fronts.http.get("/")
        assert page.status_code == 200
        assert 'data-keys="asked"' in page.text
        assert not re.search("k1|k2|k3|sha256:", page.text)
        assert [await models(key) for key in ("", "k0", "k1", "k2", "k3")] == [401, 401, ["n"], ["m", "n"], []]
        mine = {"x-api-key": "k1"}
        for name, code in (("n", 200), ("m", 403), ("none", 403)):
            response = await fronts.http.get(TASK.format(name, 1), headers=mine)
            assert response.status_code == code, name
        assert (await fronts.http.get(TASK.format("n", 1))).status_code == 401

    with_fronts(test, page=True, models=two_models(), api_keys=keys)


def test_without_api_keys_the_page_asks_for_none():
    async def test(fronts):
        assert 'data-keys="none"' in (await fronts.http.get("/")).text

    with_fronts(test, page=True)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            '{"task": {"type": "multi_label", "threshold": 0.25, "text": "a"}}',
            {"type": "multi_label", "threshold": 0.25},
        ),
        ('{"task": {"type": "regression"}}', {"type": "regression", "threshold": None}),
        ('{"task": {"type": "other"}}', {}),
        ('{"task": {"type": ["single_label"]}}', {}),
        ('{"task": 3}', {}),
        ("[]", {}),
        ("{", {}),
        ("\ud800", {}),
    ],
)
def test_a_version_tells_its_task_or_nothing(tmp_path, content, found):
    file = tmp_path / "m" / "007" / "assets.extra" / "transom.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(content.encode("utf-8", "surrogatepass"))

    async def test(fronts):
        assert (await fronts.http.get(TASK.format("m", 7))).json() == found
        for name, version in (("m", 8), ("n", 7), ("none", 7), ("%2e%2e%2fm", 7), ("m%00", 7), ("%ff", 7)):
            assert (await fronts.http.get(TASK.format(name, version))).json() == {}, name

    with_fronts(test, page=True, models=two_models(m=tmp_path / "m", n=tmp_path / "absent"))


def test_the_file_of_the_task_is_the_one_that_transom_exports(exports, tmp_path):
    (tmp_path / "1").symlink_to(exports["multi"].folder)

    async def test(fronts):
        assert (await fronts.http.get(TASK.format("m", 1))).json() == {"type": "multi_label", "threshold": 0.5}

    with_fronts(test, page=True, models=two_models(m=tmp_path))


def test_all_workers_have_the_page_and_one_tells_its_address(tmp_path):
    with server(tmp_path, "--workers=2", "--page") as one:
        pids = dict(one.wait_for(r"worker (\d) \(process (\d+)\) is ready", times=2))
        address = f"http://{HOST}:{one.rest_port}/"
        assert one.wait_for(r"INFO page: (\S+)") == [address]
        pages = {httpx.get(address, timeout=20).text for _ in range(12)}
        assert len(pages) == 1
        assert one.reload("m", "new") == "OK"
        names = {
            json.dumps([m["name"] for m in httpx.get(f"{address}page/models").json()["models"]]) for _ in range(12)
        }
        assert names == {'["m", "new"]'}
        os.kill(int(pids["1"]), signal.SIGKILL)
        one.wait_for("is ready", times=3)
        assert {httpx.get(address, timeout=20).text for _ in range(12)} == pages
        assert one.end() == 0


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("10.1.2.3", "10.1.2.3"), ("localhost", "localhost")],
)
def test_the_address_is_one_that_a_browser_on_this_machine_reaches(host, shown):
    options = ServerOptions(models=None, host=host, rest_api_port=8501)
    assert page_address(options) == f"http://{shown}:8501/"


def test_with_tls_the_page_is_encrypted_and_says_so_of_grpc(tmp_path):
    key, certificate = (path.read_bytes() for path in self_signed(tmp_path))

    async def test(fronts):
        port = fronts.frontend.options.rest_api_port
        async with httpx.AsyncClient(verify=False, timeout=20) as client:
            assert (await client.get(f"https://{HOST}:{port}/")).status_code == 200
            found = (await client.get(f"https://{HOST}:{port}{MODELS}")).json()
            assert found["grpc"]["tls"] is True

    with_fronts(test, page=True, tls=TlsFiles(key, certificate))
