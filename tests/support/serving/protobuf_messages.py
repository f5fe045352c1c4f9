"""Protobuf messages, byte by byte, and one tensor to and from its `TensorProto`, as the server reads and writes it."""

from serving.server.calls.request_tensors import decode_inputs
from serving.wire import protos, varints
from serving.wire.tensor_values import encode_into

KINDS = [
    protos.PredictRequest,
    protos.ClassificationRequest,
    protos.RegressionRequest,
    protos.MultiInferenceRequest,
    protos.GetModelMetadataRequest,
    protos.GetModelStatusRequest,
    protos.ReloadConfigRequest,
]


MANY = 40_000


def key(number, form):
    return varints.write(number << 3 | form)


def delimited(number, content):
    return key(number, 2) + varints.write(len(content)) + content


def predict_of(**inputs):
    """The bytes of a PredictRequest whose inputs are the bytes of TensorProtos."""
    entries = [delimited(2, delimited(1, name.encode()) + delimited(2, tensor)) for name, tensor in inputs.items()]
    return delimited(1, delimited(1, b"m")) + b"".join(entries)


def tensor_of(dtype, shape, *fields):
    dims = b"".join([delimited(2, key(1, 0) + varints.write(size)) for size in shape])
    return key(1, 0) + varints.write(dtype) + delimited(2, dims) + b"".join(fields)


def example(x):
    made = protos.Example()
    made.features.feature["x"].int64_list.value.append(x)
    return made.SerializeToString()


def decode(proto, name="", *limits_and_check):
    return decode_inputs({name: proto}, *limits_and_check)[name]


def encode(array, as_content=False):
    proto = protos.TensorProto()
    encode_into(proto, array, as_content)
    return proto
