"""Runs that would never end: the server's limit ends them, and other requests are served."""

import asyncio
import re
import time

import numpy as np
import pytest
from fronts import with_fronts
from protobuf_messages import encode
from tiny_servers import config_of, floats, options_of, publish, spec, until, with_core, write_warm_up

from serving.errors import Code, StatusError
from serving.server.calls.request_context import RequestContext
from serving.server.model_service import ModelService
from serving.server.models.served_version import VersionState
from serving.server.run.executor import cores
from serving.server.run.run_time_limit import RunLimitError, limit_comes_first
from serving.wire.protos import GetModelStatusRequest, PredictionLog

SECONDS = 1.25
ENDLESS = 2**31 - 1
"""Steps: minutes."""

WORDS = (
    "The run took longer than the 1.25 s of this server's --max_run_seconds. Send less, or give the server a larger "
    "--max_run_seconds (0: no limit)"
)


@pytest.fixture(scope="module")
def base(saved_models, tmp_path_factory):
    base = tmp_path_factory.mktemp("base")
    publish(saved_models[1], base, 1)
    return base


def options_with_limit(base, **fields):
    return options_of(config_of(m=base), **{"max_run_seconds": SECONDS, **fields})


def slow(core, steps, rows=1, **call):
    inputs = {"n": np.full(rows, steps, np.int32)}
    return asyncio.create_task(core.predict(spec(signature="slow"), inputs, (), RequestContext(**call)))


async def refusals(tasks):
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return {(type(one), one.code, one.message) for one in found}


def test_the_earlier_of_deadline_and_limit_applies():
    assert limit_comes_first(None, 2.0)
    assert limit_comes_first(3.0, 2.0)
    assert not limit_comes_first(1.0, 2.0)
    assert not limit_comes_first(None, 0)
    assert not limit_comes_first(3.0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("batching", [None, {}])
@pytest.mark.parametrize(("rows", "count"), [(1, 12), (17, 4)])  # large ones run one after the other
def test_endless_runs_delay_no_others_and_end_at_the_limit(base, rows, count, batching):
    """More than all regular and extra threads: the model's other runs, without a loop, have their own threads;
    those with a loop wait for no longer than the limit."""

    async def use(core):
        endless = [slow(core, ENDLESS, rows) for _ in range(count)]
        await asyncio.sleep(0.2)
        in_time = 0
        for _ in range(20):
            assert (await core.predict(spec(), floats(1))).outputs["y"].tolist() == [2.0]
            in_time += not any(one.done() for one in endless)
        assert in_time >= 3  # 20 on an idle machine; none if they wait for an endless run
        assert await refusals(endless) == {(RunLimitError, Code.DEADLINE_EXCEEDED, WORDS)}
        assert (await slow(core, 3)).outputs["last"].tolist() == [3]

    with_core(options_with_limit(base, batching=batching), use)


@pytest.mark.slow
def test_a_few_endless_runs_delay_no_other_small_run_with_a_loop(base):
    async def use(core):
        endless = [slow(core, ENDLESS) for _ in range(cores() + 1)]
        await asyncio.sleep(0.2)
        assert (await slow(core, 3)).outputs["last"].tolist() == [3]
        assert not any(one.done() for one in endless)
        await refusals(endless)

    with_core(options_with_limit(base, max_run_seconds=4.0), use)


def test_a_caller_with_an_earlier_deadline_does_not_see_the_limit(base):
    async def use(core):
        soon = asyncio.get_running_loop().time() + 0.2
        ((kind, code, message),) = await refusals([slow(core, ENDLESS, deadline=soon)])
        assert (kind, code) == (StatusError, Code.DEADLINE_EXCEEDED)
        assert "max_run_seconds" not in message

    with_core(options_with_limit(base), use)


def test_an_abandoned_run_ends_at_the_limit_and_its_version_can_be_unloaded(base, saved_models, tmp_path):
    publish(saved_models[1], tmp_path, 1)

    async def use(core):
        left = slow(core, ENDLESS)
        await asyncio.sleep(0.2)
        left.cancel()
        publish(saved_models[2], tmp_path, 2)

        def first():
            return core.get_model_status(GetModelStatusRequest(model_spec=spec(version=1))).model_version_status[0]

        await until(lambda: first().state == VersionState.UNLOADING.value)
        await until(lambda: first().state == VersionState.END.value)

    with_core(options_with_limit(tmp_path), use)


def test_requests_batched_with_an_endless_run_end_with_it(base):
    """Run one by one, each endless request would hold the thread for another limit."""

    async def use(core):
        blocking = slow(core, ENDLESS)  # the others wait behind it, and are batched
        await asyncio.sleep(0.2)
        began = time.monotonic()
        joined = [slow(core, steps) for steps in (3, ENDLESS, ENDLESS, ENDLESS)]
        assert await refusals([blocking, *joined]) == {(RunLimitError, Code.DEADLINE_EXCEEDED, WORDS)}
        assert time.monotonic() - began < 3 * SECONDS
        assert (await slow(core, 3)).outputs["last"].tolist() == [3]

    with_core(options_with_limit(base, batching={"num_batch_threads": 1}), use)


def test_without_a_limit_a_run_may_take_any_time(base):
    async def use(core):
        endless = slow(core, ENDLESS, deadline=asyncio.get_running_loop().time() + 2.5 * SECONDS)
        await asyncio.sleep(2 * SECONDS)
        assert not endless.done()
        with pytest.raises(StatusError):
            await endless

    with_core(options_with_limit(base, max_run_seconds=0), use)


def test_an_endless_warm_up_fails_the_version(saved_models, tmp_path):
    log = PredictionLog()
    log.predict_log.request.model_spec.CopyFrom(spec(signature="slow"))
    log.predict_log.request.inputs["n"].CopyFrom(encode(np.int32([ENDLESS])))
    folder = publish(saved_models[1], tmp_path / "hidden", 1)
    write_warm_up(folder, log)
    folder.rename(tmp_path / "1")

    async def use(core):
        response = core.get_model_status(GetModelStatusRequest(model_spec=spec()))
        [version] = response.model_version_status
        assert version.state == VersionState.END.value
        assert version.status.error_message == WORDS

    with_core(options_with_limit(tmp_path), use)


def test_over_rest_the_limit_is_a_gateway_timeout_with_its_message(base):
    async def test(fronts):
        body = {"signature_name": "slow", "instances": [ENDLESS]}
        answer = await fronts.http.post("/v1/models/m:predict", json=body)
        assert answer.status_code == 504
        assert re.search("1.25 s of this server's --max_run_seconds", answer.json()["error"])

    with_fronts(test, make=ModelService, models=config_of(m=base), max_run_seconds=SECONDS)
