"""The profiler service, with TensorFlow's real profiler."""

import asyncio

import pytest
from fronts import with_fronts

from serving.errors import Code, StatusError
from serving.server.flags import single_model
from serving.server.front import profiling
from serving.server.front.profiling import check_profiler
from serving.server.options import ServerOptions
from serving.wire import protos

ProfileRequest = protos.message("tensorflow.ProfileRequest")
TerminateRequest = protos.message("tensorflow.TerminateRequest")


@pytest.fixture(scope="module", autouse=True)
def tensorflow():
    import tensorflow

    return tensorflow


def call(fronts, method, request, **how):
    return fronts.call(method, request, protos.PROFILER_SERVICE, **how)


def test_a_trace_comes_with_the_response_and_is_not_written_to_disk(tmp_path):
    async def ask(fronts):
        request = ProfileRequest(repository_root=str(tmp_path), session_id="s", host_name="h")
        request.opts.duration_ms = 100
        [tool] = (await call(fronts, "Profile", request)).tool_data
        assert tool.name == "xplane.pb"
        assert tool.data
        assert not list(tmp_path.iterdir())

    with_fronts(ask)


def test_one_session_runs_at_a_time_and_may_be_ended(monkeypatch):
    monkeypatch.setattr(profiling, "_MAX_MILLISECONDS", 120_000)

    async def ask(fronts):
        first = asyncio.create_task(
            call(fronts, "Profile", ProfileRequest(duration_ms=120_000, session_id="s"), timeout=50)
        )
        second = None
        while not isinstance(second, tuple):  # the first has begun
            await asyncio.sleep(0.1)
            second = await call(fronts, "Profile", ProfileRequest())
        assert second == ("UNAVAILABLE", "Another profiler session active.")
        await call(fronts, "Terminate", TerminateRequest(session_id="another"))
        assert not first.done()
        await call(fronts, "Terminate", TerminateRequest(session_id="s"))
        assert (await first).tool_data
        assert (await call(fronts, "Profile", ProfileRequest())).tool_data

    with_fronts(ask)


def test_a_session_ends_although_its_caller_has_left():
    async def ask(fronts):
        gone = await call(fronts, "Profile", ProfileRequest(duration_ms=1000), timeout=0.3)
        assert gone[0] == "DEADLINE_EXCEEDED"
        while isinstance(await call(fronts, "Profile", ProfileRequest()), tuple):
            await asyncio.sleep(0.1)

    with_fronts(ask)


@pytest.mark.parametrize("milliseconds", [2001, 2**64 - 1])
def test_a_session_has_a_maximum_duration(milliseconds):
    async def ask(fronts):
        code, message = await call(fronts, "Profile", ProfileRequest(duration_ms=milliseconds))
        assert (code, message) == ("INVALID_ARGUMENT", f"duration_ms is {milliseconds}; expected 0 to 2000")

    with_fronts(ask)


@pytest.mark.parametrize("method", ["Profile", "Terminate", "Monitor"])
def test_it_can_be_turned_off_and_serves_only_this_machine(method):
    async def ask(fronts):
        assert (await call(fronts, method, TerminateRequest()))[0] == "UNIMPLEMENTED"

    with_fronts(ask, enable_profiler=False)
    options = ServerOptions(models=single_model("m", "/m"))
    with pytest.raises(StatusError) as refused:
        asyncio.run(check_profiler(options, "ipv4:192.0.2.1:1", None))
    assert refused.value.code is Code.PERMISSION_DENIED
