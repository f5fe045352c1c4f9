import grpc
import pytest
from fronts import with_fronts

from serving.server.front.grpc import health

HEALTH = f"/{health.SERVICE}"


def test_health_follows_the_service_and_ends_when_draining_starts():
    async def check(fronts, name):
        call = fronts.channel.unary_unary(
            f"{HEALTH}/Check", response_deserializer=health.HealthCheckResponse.FromString
        )
        try:
            return (await call(health.HealthCheckRequest(service=name).SerializeToString(), timeout=10)).status
        except grpc.aio.AioRpcError as error:
            return error.code().name

    async def test(fronts):
        watch = fronts.channel.unary_stream(
            f"{HEALTH}/Watch", response_deserializer=health.HealthCheckResponse.FromString
        )(health.HealthCheckRequest().SerializeToString(), timeout=30)
        assert (await watch.read()).status == health.SERVING
        for name in ("", "m", "tensorflow.serving.PredictionService", "PredictionService"):
            assert await check(fronts, name) == health.SERVING
        assert await check(fronts, "no") == "NOT_FOUND"
        await fronts.grpc.drain()
        assert (await watch.read()).status == health.NOT_SERVING
        assert await check(fronts, "m") == health.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF

    with_fronts(test, enable_grpc_healthcheck_service=True)


def test_health_and_reflection_are_off_by_default():
    async def test(fronts):
        for path in (f"{HEALTH}/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await fronts.channel.unary_unary(path)(b"", timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    with_fronts(test)


def test_health_speaks_the_official_proto():
    """The bytes of grpc/health/v1/health.proto: `service` is field 1, `status` is field 1, SERVING is 1."""
    assert health.HealthCheckRequest(service="m").SerializeToString() == b"\x0a\x01m"
    assert health.HealthCheckResponse(status=health.SERVING).SerializeToString() == b"\x08\x01"
