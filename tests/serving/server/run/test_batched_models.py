"""Batches of requests to SavedModels, and the parameters that configure them."""

import asyncio
import threading

import numpy as np
import pytest
from tiny_servers import config_of, floats, options_of, publish, spec, with_core

from serving.errors import Code, OptionsError, StatusError
from serving.server.run.batching_options import batching_options
from serving.server.run.executor import cores
from serving.wire.protos import GetModelStatusRequest


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"batch_timeout_micros": -1}, "batch_timeout_micros"),
        ({"max_enqueued_batches": 0}, "max_enqueued_batches"),
        ({"num_batch_threads": 0}, "num_batch_threads"),
        ({"allowed_batch_sizes": [4, 2], "max_batch_size": 2}, "allowed_batch_sizes"),
        ({"allowed_batch_sizes": [2, 4], "max_batch_size": 8}, "allowed_batch_sizes"),
        (
            {"max_execution_batch_size": 8, "max_batch_size": 4, "enable_large_batch_splitting": True},
            "max_execution_batch_size",
        ),
        ({"mixed_priority": True}, "mixed_priority"),
    ],
)
def test_an_unsupported_parameter_is_refused_by_name(fields, name):
    with pytest.raises(OptionsError, match=f"{name} of the batching parameters"):
        batching_options(fields)


@pytest.fixture(scope="module")
def batched(saved_models, tmp_path_factory):
    base = tmp_path_factory.mktemp("base")
    publish(saved_models[1], base, 1)
    return options_of(config_of(m=base), batching={"batch_timeout_micros": 20_000, "num_batch_threads": 2})


def test_requests_to_a_saved_model_are_batched_by_signature_and_filter(batched):
    async def use(core):
        requests = [core.predict(spec(signature="matrix"), {"x": np.full((n, 2), n, np.float32)}) for n in (1, 2, 3)]
        requests += [core.predict(spec(signature="matrix"), {"x": np.ones((1, 3), np.float32)})]
        requests += [core.predict(spec(), floats(n), ["y"]) for n in (1, 2)]
        outputs = [one.outputs for one in await asyncio.gather(*requests)]
        assert [answer["sum"].tolist() for answer in outputs[:4]] == [[2], [4] * 2, [6] * 3, [3]]
        assert [answer["rows"].tolist() for answer in outputs[:4]] == [[6], [6] * 2, [6] * 3, [1]]
        assert [answer["y"].tolist() for answer in outputs[4:]] == [[2], [3]]

    with_core(batched, use)


@pytest.mark.parametrize(
    ("signature", "inputs", "code", "message"),
    [
        ("", {"x": np.float32(1)}, Code.INVALID_ARGUMENT, "Batching Run() input tensors must have at least one dim"),
        (
            "two",
            {"text": np.array([b"a"], object), "n": np.array([1, 2])},
            Code.INVALID_ARGUMENT,
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        ("scalar", floats(1), Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions"),
        ("positive", floats(-1), Code.INVALID_ARGUMENT, "assertion failed: [not positive"),
    ],
)
def test_requests_that_cannot_be_batched_get_tf_servings_code_and_message(batched, signature, inputs, code, message):
    async def use(core):
        good = core.predict(spec(signature="positive"), floats(1))
        bad, fine = await asyncio.gather(core.predict(spec(signature=signature), inputs), good, return_exceptions=True)
        assert bad.code is code
        assert bad.message.startswith(message)
        assert fine.outputs["y"].tolist() == [2]

    with_core(batched, use)


def test_a_version_may_have_its_own_parameters(saved_models, tmp_path):
    for version in (1, 2, 3):
        publish(saved_models[1], tmp_path, version)
    (tmp_path / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    (tmp_path / "2" / "batching_params.pbtxt").write_text("max_batch_size { value: 0 }")
    config = config_of(m=tmp_path)
    config.model_config_list.config[0].model_version_policy.all.SetInParent()

    async def use(core):
        with pytest.raises(StatusError, match="Task size 3 is larger than maximum input batch size 2"):
            await core.predict(spec(version=1), floats(1, 2, 3))
        with pytest.raises(StatusError, match="Servable not found"):
            await core.predict(spec(version=2), floats(1))
        assert (await core.predict(spec(version=3), {"x": np.ones(2000, np.float32)})).outputs["y"].shape == (2000,)
        request = GetModelStatusRequest(model_spec=spec(version=2))
        [version] = core.get_model_status(request).model_version_status
        assert "max_batch_size of the batching parameters" in version.status.error_message

    with_core(options_of(config, batching={}, enable_per_model_batching_parameters=True), use)


@pytest.mark.parametrize(
    ("given", "workers", "threads"), [({}, 1, cores()), ({}, 4, 1), ({"num_batch_threads": 3}, 4, 3)]
)
def test_one_of_several_workers_runs_one_batch_at_a_time_by_default(saved_models, given, workers, threads):
    name = f"batches_{workers}_{len(given)}"

    async def use(core):
        await core.predict(spec(), floats(1))
        assert len([one for one in threading.enumerate() if one.name.startswith(name)]) == threads

    config = config_of(m=saved_models[1].parent)
    with_core(options_of(config, batching={"thread_pool_name": name, **given}, workers=workers), use)
