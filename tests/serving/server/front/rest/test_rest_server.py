import asyncio
import gzip
import json
import time

from fronts import HOST, with_fronts
from hypothesis import given, settings
from hypothesis import strategies as st

PREDICT = "/v1/models/m:predict"
TYPICAL = {"instances": [1.0, 2.5]}


def error(response):
    assert response.headers["Content-Type"] == "application/json"
    return response.status_code, response.json()["error"]


def test_rows_columns_strings_and_signatures_are_served():
    async def test(fronts):
        assert (await fronts.http.post(PREDICT, json=TYPICAL)).json() == {"predictions": [2, 5]}
        path = "/v1/models/m/versions/1:predict"
        assert (await fronts.http.post(path, json={"inputs": [3]})).json() == {"outputs": [6]}
        text = {"signature_name": "text", "instances": ["so good"]}
        row = (await fronts.http.post("/v1/models/m/labels/stable:predict", json=text)).json()["predictions"][0]
        assert row == {"label": "so good", "length": 7, "raw_bytes": {"b64": "c28gZ29vZA=="}}
        examples = {"examples": [{"x": 3.0}]}
        assert (await fronts.http.post("/v1/models/m:classify", json=examples)).json() == {"results": [[["n", 0.1]]]}
        assert (await fronts.http.post("/v1/models/m:regress", json=examples)).json() == {"results": [1.0]}
        status = (await fronts.http.get("/v1/models/m")).json()["model_version_status"][0]
        assert (status["version"], status["state"]) == ("1", "AVAILABLE")
        metadata = (await fronts.http.get("/v1/models/m/metadata")).json()
        tensor = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
        assert (tensor["dtype"], tensor["tensor_shape"]["dim"][0]["size"]) == ("DT_FLOAT", "-1")

    with_fronts(test)


def test_errors_have_tf_servings_status_and_message():
    no_signature = 'Serving signature name: "no" not found in signature def'
    cases = [
        (PREDICT, {"instances": []}, 400, "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (PREDICT, {"instances": [1], "signature_name": "no"}, 400, no_signature),
        ("/v1/models/no:predict", TYPICAL, 404, "Servable not found for request: Latest(no)"),
        ("/v1/models/m/versions/7:predict", TYPICAL, 404, "Servable not found for request: Specific(m, 7)"),
        ("/v1/models/m/labels/x:predict", TYPICAL, 400, "Unrecognized servable version label: x"),
        ("/v1/models/m:explain", TYPICAL, 400, "Malformed request: POST /v1/models/m:explain"),
        ("/other", TYPICAL, 404, "Not Found"),
        (
            f"/v1/models/m/versions/{'9' * 7000}:predict",
            TYPICAL,
            400,
            f"Failed to convert version: {'9' * 1024}... to numeric.",
        ),
    ]

    async def test(fronts):
        for path, body, code, message in cases:
            assert error(await fronts.http.post(path, json=body)) == (code, message)
        assert error(await fronts.http.get("/v1/models/no")) == (404, "Servable not found for request: Latest(no)")
        assert error(await fronts.http.put("/v1/x")) == (400, "Malformed request: PUT /v1/x")
        empty = await fronts.http.post(PREDICT, content=b"")
        assert error(empty) == (400, "JSON Parse error: The document is empty")
        broken = await fronts.http.post(PREDICT, json={"instances": [1], "signature_name": "broken"})
        assert broken.status_code == 500
        assert "secret" not in broken.text

    with_fronts(test)


def test_gzip_is_decoded_and_encoded():
    many = {"inputs": list(range(1000))}

    async def test(fronts):
        body, zipped = json.dumps(many).encode(), {"Content-Encoding": "gzip"}
        plain = {"Accept-Encoding": "identity"}
        response = await fronts.http.post(PREDICT, content=gzip.compress(body), headers=zipped | plain)
        assert "Content-Encoding" not in response.headers
        assert response.json()["outputs"][999] == 1998
        loud = {"Content-Encoding": "GZIP"} | plain
        assert (await fronts.http.post(PREDICT, content=gzip.compress(body), headers=loud)).status_code == 200
        response = await fronts.http.post(PREDICT, content=body, headers={"Accept-Encoding": "gzip"})
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.json()["outputs"][999] == 1998
        refused = await fronts.http.post(PREDICT, content=body, headers={"Accept-Encoding": "br, gzip;q=0"})
        assert "Content-Encoding" not in refused.headers
        for wrong in (b"no gzip", gzip.compress(body)[:-20]):
            response = await fronts.http.post(PREDICT, content=wrong, headers=zipped)
            assert error(response) == (400, "JSON Parse error: The document is empty")

    with_fronts(test)


def test_a_body_too_large_or_too_deep_is_refused():
    limit = 100_000
    too_large = (413, f"Request larger than {limit} bytes (--max_message_bytes)")

    async def chunks():
        for _ in range(30):
            yield b" " * 10_000

    async def test(fronts):
        assert error(await fronts.http.post(PREDICT, content=b" " * (limit + 1))) == too_large
        assert error(await fronts.http.post(PREDICT, content=chunks())) == too_large
        bomb = gzip.compress(b" " * 50_000_000)
        assert len(bomb) < limit
        response = await fronts.http.post(PREDICT, content=bomb, headers={"Content-Encoding": "gzip"})
        assert error(response) == too_large
        just = json.dumps(TYPICAL).encode().ljust(limit)
        assert (await fronts.http.post(PREDICT, content=just)).status_code == 200
        deep = await fronts.http.post(PREDICT, content=b'{"inputs": ' + b"[" * 40_000)
        assert "nested deeper than 64 levels" in error(deep)[1]

    with_fronts(test, max_message_bytes=limit)


def test_cors_headers_are_sent_if_enabled():
    origin = {"Origin": "https://example.org"}

    async def on(fronts):
        preflight = await fronts.http.options(PREDICT, headers=origin)
        assert preflight.status_code == 200
        response = await fronts.http.post(PREDICT, json=TYPICAL)
        for one in (preflight, response):
            assert one.headers["Access-Control-Allow-Origin"] == "*"
            assert one.headers["Access-Control-Allow-Methods"] == "POST, GET"
            assert one.headers["Access-Control-Allow-Headers"] == "Content-Type"
        assert error(await fronts.http.options(PREDICT)) == (400, "Origin header is missing in CORS preflight")

    async def off(fronts):
        assert "Access-Control-Allow-Origin" not in (await fronts.http.post(PREDICT, json=TYPICAL)).headers

    with_fronts(on, rest_api_enable_cors_support=True)
    with_fronts(off)


def test_requests_over_the_limit_get_429_parsed_whole():
    slow = {"instances": [0.5], "signature_name": "slow"}

    async def test(fronts):
        responses = await asyncio.gather(*[fronts.http.post(PREDICT, json=slow) for _ in range(6)])
        refused = [error(one) for one in responses if one.status_code != 200]
        assert refused == [(429, "Too many requests in flight: 2 (--max_concurrent_requests)")] * 4
        assert (await fronts.http.post(PREDICT, json=TYPICAL)).status_code == 200

    with_fronts(test, max_concurrent_requests=2)


def test_a_request_that_takes_too_long_gets_504():
    async def test(fronts):
        slow = {"instances": [60], "signature_name": "slow"}
        assert error(await fronts.http.post(PREDICT, json=slow)) == (504, "Deadline exceeded before the run ended")

    with_fronts(test, rest_api_timeout_in_ms=100)


def test_clients_that_send_slowly_or_vanish_delay_no_others():
    async def test(fronts):
        port = fronts.frontend.options.rest_api_port
        opened = []
        for number in range(50):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(
                f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode()[: 20 + number]
            )
            opened.append((reader, writer))
            if number % 3 == 0:
                writer.transport.abort()
        start = time.monotonic()
        assert (await fronts.http.post(PREDICT, json=TYPICAL)).status_code == 200
        assert time.monotonic() - start < 5
        assert fronts.frontend.in_flight == 0
        for _, writer in opened:
            writer.close()

    with_fronts(test, max_concurrent_requests=2)


def test_prometheus_metrics_are_served_at_the_configured_path():
    async def test(fronts):
        await fronts.http.post(PREDICT, json=TYPICAL)
        await fronts.http.get("/v1/models/no")
        page = await fronts.http.get("/metrics")
        assert page.headers["Content-Type"].startswith("text/plain")
        return page.text

    page = with_fronts(test, metrics_path="/metrics")
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1' in page
    assert ':tensorflow:serving:request_count{model_name="(other)",status="NOT_FOUND"} 1' in page
    assert 'request_latency_count{model_name="m",API="predict",entrypoint="REST"} 1' in page
    assert ':transom:serving:version_state{model_name="m",version="1"} 30' in page


def test_a_response_while_draining_closes_the_connection():
    async def test(fronts):
        fronts.frontend.draining = True
        assert (await fronts.http.post(PREDICT, json=TYPICAL)).headers["Connection"] == "close"

    with_fronts(test)


RAW = st.binary(max_size=60) | st.builds(
    lambda method, path, body: (
        b"%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (method, path, len(body), body)
    ),
    st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"TRACE"]),
    st.sampled_from(
        [b"/v1/models/m:predict", b"/v1/models/m", b"/v1/models/%00%ff", b"/v1/../m", b"*", b"http://x/v1/a"]
    ),
    st.binary(max_size=40) | st.sampled_from([b'{"instances": [1e400]}', b'{"inputs": {"x": [[1], 2]}}']),
)


@settings(max_examples=5, deadline=None)
@given(st.lists(RAW, min_size=20, max_size=40))
def test_arbitrary_bytes_make_the_server_neither_fail_nor_hang(requests):
    async def test(fronts):
        for request in requests:
            reader, writer = await asyncio.open_connection(HOST, fronts.frontend.options.rest_api_port)
            writer.write(request)
            writer.write_eof()
            response = await asyncio.wait_for(reader.read(), 10)
            assert not response.startswith(b"HTTP/1.1 5") or response.startswith(b"HTTP/1.1 501"), (request, response)
            writer.close()
        assert (await fronts.http.post(PREDICT, json=TYPICAL)).status_code == 200

    with_fronts(test)
