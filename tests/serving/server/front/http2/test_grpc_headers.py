import pytest
from http2_servers import with_http2_server

from serving.errors import Code, StatusError
from serving.server.front.grpc_call import GrpcMethod
from serving.server.front.http2 import nghttp2
from serving.server.front.http2.grpc_headers import percent_encode, truncate_details

pytestmark = pytest.mark.skipif(nghttp2.load() is None, reason="nghttp2 is not installed")


@pytest.mark.parametrize("text", ["", "plain", "50% of\nit", "ü" * 10_000, "字" * 10_000, "\ud800", "a" * 10_000])
def test_details_are_truncated_between_characters_to_bytes_that_clients_take(text):
    encoded = percent_encode(truncate_details(text))
    assert len(encoded) <= 6000
    if len(text) < 100:
        assert truncate_details(text) == text
    else:
        assert len(encoded) > 5980
        assert text.startswith(truncate_details(text))


def test_details_reach_the_client_unchanged(monkeypatch):
    async def refuse(body, call):
        raise StatusError(Code.NOT_FOUND, body.decode())

    async def test(one):
        one.server.methods[b"/e/Refuse"] = GrpcMethod(refuse)
        for words in ("50% of\n ü 字", "字" * 3000):
            code, details = await one.call("Refuse", words.encode())
            assert code == "NOT_FOUND"
            assert details == truncate_details(words)

    with_http2_server(test)
