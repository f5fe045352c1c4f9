"""TFLite files, if the server prefers them."""

import asyncio
import dataclasses

import numpy as np
import pytest
from flatbuffers import flexbuffers
from tiny_servers import config_of, floats, options_of, publish, spec, with_core

from serving.errors import Code, StatusError
from serving.server.run.run_time_limit import RunLimitError
from serving.wire.protos import GetModelStatusRequest, SignatureDef


@pytest.fixture(scope="module")
def base(saved_models, tmp_path_factory):
    import tensorflow as tf

    base = tmp_path_factory.mktemp("base")
    version = publish(saved_models[1], base, 1)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_models[2]), signature_keys=["serving_default"])
    (version / "model.tflite").write_bytes(converter.convert())
    return base


@pytest.mark.parametrize("interpreters", [1, 2])
def test_a_tflite_file_is_served_if_preferred(base, interpreters):
    async def use(core):
        assert core.inputs_of(spec(), "") == {"x": 1}
        answers = await asyncio.gather(*[core.predict(spec(), floats(*range(n))) for n in range(1, 6)])
        assert [answer.outputs["y"].tolist() for answer in answers] == [
            [value + 2.0 for value in range(n)] for n in range(1, 6)
        ]
        assert list((await core.predict(spec(), floats(1), ["bias"])).outputs) == ["bias"]
        with pytest.raises(StatusError, match=r"Expects arg\[0\] to be float but int64 is provided"):
            await core.predict(spec(), {"x": np.array([1])})
        assert (await core.predict(spec(), floats(3))).outputs["y"].tolist() == [5.0]

    options = options_of(config_of(m=base), prefer_tflite_model=True, num_tflite_interpreters=interpreters)
    with_core(options, use)
    with_core(dataclasses.replace(options, batching={}), use)


def test_the_saved_model_is_served_if_preferred_or_without_a_tflite_file(base, saved_models, tmp_path):
    async def use(core):
        assert (await core.predict(spec(), floats(1))).outputs["y"].tolist() == [2.0]

    with_core(options_of(config_of(m=base)), use)
    publish(saved_models[1], tmp_path, 1)
    with_core(options_of(config_of(m=tmp_path), prefer_tflite_model=True), use)


def test_an_invalid_tflite_file_is_reported(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.tflite").write_bytes(b"nothing of the kind")

    async def use(core):
        response = core.get_model_status(GetModelStatusRequest(model_spec=spec()))
        [version] = response.model_version_status
        assert (version.state, version.status.error_code) == (50, Code.INVALID_ARGUMENT.number)
        assert version.status.error_message.startswith("Cannot build FlatBufferModel from buffer.")

    with_core(options_of(config_of(m=tmp_path), prefer_tflite_model=True), use)


def test_a_file_without_signatures_is_queried_by_tensor_names(tmp_path):
    import tensorflow as tf
    from tensorflow.lite.tools import flatbuffer_utils

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def double(x):
        return tf.multiply(x, 2.0, name="y")

    content = tf.lite.TFLiteConverter.from_concrete_functions([double.get_concrete_function()], tf.Module()).convert()
    file = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    file.signatureDefs = []
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(file))
    assert not tf.lite.Interpreter(model_content=content).get_signature_list()
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.tflite").write_bytes(content)

    async def use(core):
        assert list(core.inputs_of(spec(), "")) == ["serving_default_x"]
        for rows in (1, 3):
            [output] = (
                await core.predict(spec(), {"serving_default_x": np.ones((rows, 2), np.float32)})
            ).outputs.values()
            assert output.tolist() == [[2.0, 2.0]] * rows

    with_core(options_of(config_of(m=tmp_path), prefer_tflite_model=True), use)


def test_waiting_for_an_interpreter_of_a_model_with_a_loop_ends_at_the_limit(base, saved_models, tmp_path):
    import tensorflow as tf

    from serving.server.models.tflite_model import TfliteModel

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_models[0]), signature_keys=["slow"])
    (tmp_path / "slow.tflite").write_bytes(converter.convert())
    options = options_of(config_of(), max_run_seconds=0.2)
    model = TfliteModel(tmp_path / "slow.tflite", options)
    signature = model.signatures["slow"]
    arguments = {signature.inputs["n"].tensor: np.int32([3])}, [signature.outputs["last"].tensor]
    assert model.is_unbounded(arguments[1])
    assert model.run(*arguments, None)[0].tolist() == [3]
    model._pool.get()  # it runs forever
    with pytest.raises(
        RunLimitError, match=r"waited for an interpreter .* longer than the 0\.2 s of this server's --max_run"
    ):
        model.run(*arguments, None)
    with pytest.raises(StatusError, match="Deadline exceeded before"):
        model.run(*arguments, 0.05)
    assert not TfliteModel(base / "1" / "model.tflite", options).is_unbounded(())


def with_older_signatures(content: bytes, metadata: bytes) -> bytes:
    """The file with signatures as older converters wrote them, instead of its own."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    file = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    file.signatureDefs = []
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data, entry.name, entry.buffer = list(metadata), "signature_defs_metadata", len(file.buffers)
    file.buffers.append(buffer)
    file.metadata.append(entry)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(file))


def older_signatures(**definitions: SignatureDef) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, definition in definitions.items():
            builder.String(name, definition.SerializeToString().decode())
    return bytes(builder.Finish())


def served(tmp_path, content, use):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.tflite").write_bytes(content)
    with_core(options_of(config_of(m=tmp_path), prefer_tflite_model=True), use)


def signature(**tensors: str) -> SignatureDef:
    """A signature whose inputs begin with i."""
    found = SignatureDef(method_name="tensorflow/serving/predict")
    for alias, tensor in tensors.items():
        info = (found.inputs if alias.startswith("i") else found.outputs)[alias]
        info.name, info.dtype = tensor, 1
        info.tensor_shape.dim.add(size=1)
    return found


def test_older_signatures_name_the_tensors(base, tmp_path):
    import tensorflow as tf

    content = (base / "1" / "model.tflite").read_bytes()
    interpreter = tf.lite.Interpreter(model_content=content)
    [into], outs = interpreter.get_input_details(), interpreter.get_output_details()
    names = {"in": into["name"].removesuffix(":0") + ":0", "one": outs[0]["name"], "other": outs[1]["name"]}
    metadata = older_signatures(serving_default=signature(**names), only=signature(i=into["name"], y=outs[1]["name"]))

    async def use(core):
        assert core.inputs_of(spec(), "") == {"in": 1}
        answer = await core.predict(spec(), {"in": np.float32([3])})
        assert answer.outputs.keys() == {"one", "other"}
        assert sorted(value.item() for value in answer.outputs.values()) == [2.0, 5.0]
        answer = await core.predict(spec(signature="only"), {"i": np.float32([3])})
        assert list(answer.outputs) == ["y"]

    served(tmp_path, with_older_signatures(content, metadata), use)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (b"", "Invalid SignatureDefs found in TfLite model: "),
        (b"no signatures at all", "Invalid SignatureDefs found in TfLite model: "),
        (older_signatures(serving_default=signature(i="z:0")), "Signature input i references an unknown tensor"),
    ],
)
def test_invalid_older_signatures_fail_the_version(base, tmp_path, metadata, message):
    async def use(core):
        [version] = core.get_model_status(GetModelStatusRequest(model_spec=spec())).model_version_status
        assert version.status.error_message.startswith(message)

    served(tmp_path, with_older_signatures((base / "1" / "model.tflite").read_bytes(), metadata), use)
