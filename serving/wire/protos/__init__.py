"""TF Serving's official protos as message classes, without TensorFlow.

The generated modules of `tensorflow-serving-api` import TensorFlow, which takes seconds and 500 MB; a client needs
none of it. `descriptors.binpb` holds the same descriptors (`python -m serving.wire.protos.update` takes them from that
package, a test compares), read into a pool of their own, so that a process may load TensorFlow as well.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FILE = Path(__file__).with_name("descriptors.binpb")

POOL = descriptor_pool.DescriptorPool()
"""Holds every message and service below, for gRPC's reflection and for `json_format`."""

for _file in descriptor_pb2.FileDescriptorSet.FromString(FILE.read_bytes()).file:
    POOL.Add(_file)  # in the order of their imports


def message(name: str) -> Any:
    """The class of a message by its full name ("tensorflow.serving.PredictRequest").

    Raises:
        KeyError: there is no such message.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


@functools.cache  # every request asks
def methods(service: str) -> Mapping[str, tuple[Any, Any]]:
    """Method to the classes of its request and its response, of a service by its full name.

    Raises:
        KeyError: there is no such service.
    """
    found = POOL.FindServiceByName(service).methods
    return {one.name: (message(one.input_type.full_name), message(one.output_type.full_name)) for one in found}


PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
PROFILER_SERVICE = "tensorflow.ProfilerService"

TensorProto = message("tensorflow.TensorProto")
TensorShapeProto = message("tensorflow.TensorShapeProto")
Example = message("tensorflow.Example")
Feature = message("tensorflow.Feature")
SignatureDef = message("tensorflow.SignatureDef")

ModelSpec = message("tensorflow.serving.ModelSpec")
PredictRequest = message("tensorflow.serving.PredictRequest")
PredictResponse = message("tensorflow.serving.PredictResponse")
ClassificationRequest = message("tensorflow.serving.ClassificationRequest")
ClassificationResponse = message("tensorflow.serving.ClassificationResponse")
RegressionRequest = message("tensorflow.serving.RegressionRequest")
RegressionResponse = message("tensorflow.serving.RegressionResponse")
MultiInferenceRequest = message("tensorflow.serving.MultiInferenceRequest")
MultiInferenceResponse = message("tensorflow.serving.MultiInferenceResponse")
GetModelMetadataRequest = message("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap = message("tensorflow.serving.SignatureDefMap")
GetModelStatusRequest = message("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message("tensorflow.serving.GetModelStatusResponse")
ModelVersionStatus = message("tensorflow.serving.ModelVersionStatus")
ReloadConfigRequest = message("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = message("tensorflow.serving.ReloadConfigResponse")
ModelServerConfig = message("tensorflow.serving.ModelServerConfig")
ModelConfig = message("tensorflow.serving.ModelConfig")
PredictionLog = message("tensorflow.serving.PredictionLog")
ConfigProto = message("tensorflow.ConfigProto")
SSLConfig = message("tensorflow.serving.SSLConfig")
MonitoringConfig = message("tensorflow.serving.MonitoringConfig")
BatchingParameters = message("tensorflow.serving.BatchingParameters")
ApiKeys = message("transom.ApiKeys")
