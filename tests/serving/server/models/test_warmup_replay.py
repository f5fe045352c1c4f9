"""Warm-up requests run before a version is served, and their errors fail it."""

import numpy as np
import pytest
from protobuf_messages import encode
from tiny_servers import (
    AVAILABLE,
    END,
    config_of,
    example,
    options_of,
    publish,
    spec,
    states,
    status,
    with_core,
    write_warm_up,
)

from serving.errors import Code
from serving.wire.protos import PredictionLog


def predict_log(x):
    log = PredictionLog()
    log.predict_log.request.model_spec.name = "m"
    log.predict_log.request.inputs["x"].CopyFrom(encode(x))
    return log


def example_log(kind, signature):
    log = PredictionLog()
    request = getattr(log, kind).request
    request.input.example_list.examples.append(example(1.0))
    if kind == "multi_inference_log":
        request.tasks.add(model_spec=spec(signature=signature), method_name="tensorflow/serving/regress")
    else:
        request.model_spec.CopyFrom(spec(signature=signature))
    return log


def test_every_kind_of_warm_up_request_runs_before_a_version_is_served(saved_models, tmp_path):
    folder = publish(saved_models[1], tmp_path / "hidden", 1)
    write_warm_up(
        folder,
        predict_log(np.float32([1])),
        example_log("classify_log", "classify"),
        example_log("regress_log", "regress"),
        example_log("multi_inference_log", "regress"),
    )
    folder.rename(tmp_path / "1")

    async def use(core):
        assert states(core) == {1: AVAILABLE}

    with_core(options_of(config_of(m=tmp_path), num_request_iterations_for_warmup=3), use)


@pytest.mark.parametrize(
    ("log", "code", "message"),
    [
        (predict_log(np.array([1])), Code.INVALID_ARGUMENT, "Expects arg[0] to be float but int64 is provided"),
        (example_log("regress_log", "x"), Code.INVALID_ARGUMENT, "No signature was found with the name: x"),
        (PredictionLog(session_run_log={}), Code.UNIMPLEMENTED, "Unsupported log_type for warmup: 5"),
        (None, Code.DATA_LOSS, "truncated record at 0. Please verify your warmup data is in TFRecord format."),
    ],
)
def test_a_warm_up_that_fails_fails_the_version(saved_models, tmp_path, log, code, message):
    folder = publish(saved_models[1], tmp_path / "hidden", 1)
    write_warm_up(folder, *([log] if log else []))
    if log is None:
        (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no records at all")
    folder.rename(tmp_path / "1")

    async def use(core):
        assert states(core) == {1: END}
        assert (status(core, 1).status.error_code, status(core, 1).status.error_message) == (code.number, message)

    with_core(options_of(config_of(m=tmp_path)), use)

    async def is_served(core):
        assert states(core) == {1: AVAILABLE}

    with_core(options_of(config_of(m=tmp_path), enable_model_warmup=False), is_served)
