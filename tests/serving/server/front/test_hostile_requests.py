"""For any bytes that a stranger sends, the core returns a response or raises a StatusError, and nothing else."""

import asyncio

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_servers import config_of, options_of, publish

from serving.errors import StatusError
from serving.server.calls.request_limits import Limits
from serving.server.calls.request_tensors import decode_inputs, encode_outputs
from serving.wire import protos

CORPUS = ["m", "", "serving_default", "classify", "regress", "matrix", "two", "__saved_model_init_op", "x", "inputs"]


@pytest.fixture(scope="module", params=[None, {"max_batch_size": 8}], ids=["single", "batched"])
def ask(request, saved_models, tmp_path_factory):
    base = tmp_path_factory.mktemp("base")
    publish(saved_models[1], base, 1)
    with asyncio.Runner() as runner:
        from serving.server.model_service import ModelService

        core = ModelService(options_of(config_of(m=base), batching=request.param))
        runner.run(core.start())
        yield lambda use: runner.run(asyncio.wait_for(use(core), 20))
        runner.run(core.stop())


async def predict(core, content):
    request = protos.PredictRequest.FromString(content)
    inputs = decode_inputs(request.inputs, Limits(1 << 20))
    predicted = await core.predict(request.model_spec, inputs, request.output_filter)
    encode_outputs(protos.PredictResponse().outputs, predicted.outputs)


def answered_or_refused(ask, use):
    try:
        ask(use)
    except (StatusError, DecodeError):
        return


tensors = st.builds(
    lambda dtype, shape, content, floats, integers, strings: protos.TensorProto(
        dtype=dtype,
        tensor_shape=protos.TensorShapeProto(dim=[protos.TensorShapeProto.Dim(size=size) for size in shape]),
        tensor_content=content,
        float_val=floats,
        int64_val=integers,
        string_val=strings,
    ),
    st.sampled_from([1, 1, 1, 7, 9, 0, 3, 10, 14, 20, 99]),
    st.lists(st.integers(-1, 5) | st.just(2**62), max_size=3),
    st.binary(max_size=12),
    st.lists(st.floats(width=32), max_size=6),
    st.lists(st.integers(-5, 5), max_size=6),
    st.lists(st.binary(max_size=6), max_size=6),
)


@given(
    name=st.sampled_from(CORPUS[:2]) | st.text(max_size=5),
    signature=st.sampled_from(CORPUS) | st.text(max_size=5),
    inputs=st.dictionaries(st.sampled_from(["x", "text", "n", "inputs"]) | st.text(max_size=3), tensors, max_size=3),
    output_filter=st.lists(st.sampled_from(["y", "bias", "sum", "upper"]) | st.text(max_size=3), max_size=3),
    version=st.none() | st.integers(-(2**63), 2**63 - 1),
)
@settings(max_examples=200, deadline=None)
def test_any_predict_is_served_or_refused(ask, name, signature, inputs, output_filter, version):
    request = protos.PredictRequest(output_filter=output_filter)
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if version is not None and version != 1:
        request.model_spec.version.value = version
    for alias, tensor in inputs.items():
        request.inputs[alias].CopyFrom(tensor)
    answered_or_refused(ask, lambda core: predict(core, request.SerializeToString()))


@given(content=st.binary(max_size=120))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_served_or_refused(ask, content):
    answered_or_refused(ask, lambda core: predict(core, content))

    async def others(core):
        for method, kind in (
            (core.classify, protos.ClassificationRequest),
            (core.regress, protos.RegressionRequest),
            (core.multi_inference, protos.MultiInferenceRequest),
        ):
            with pytest.raises((StatusError, DecodeError)):
                await method(kind.FromString(content))
        for ask_at_once, kind in (
            (core.get_model_metadata, protos.GetModelMetadataRequest),
            (core.get_model_status, protos.GetModelStatusRequest),
        ):
            with pytest.raises((StatusError, DecodeError)):
                ask_at_once(kind.FromString(content))

    ask(others)
