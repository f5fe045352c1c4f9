"""TF Serving's official protos as message classes, without TensorFlow.

The generated modules of `tensorflow-serving-api` import TensorFlow, which takes seconds and 500 MB. `descriptors.binpb`
contains the same descriptors, and those of gRPC's health and reflection (see `serving.wire.protos.update`; a test
compares). They are in a separate pool, so that a process can also load TensorFlow.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FILE = Path(__file__).with_name("descriptors.binpb")

POOL = descriptor_pool.DescriptorPool()
"""All messages and services below, for gRPC's reflection and `json_format`."""

for _file in descriptor_pb2.FileDescriptorSet.FromString(FILE.read_bytes()).file:
    POOL.Add(_file)  # in the order of their imports


def message(name: str) -> Any:
    """A message class by its full name ("tensorflow.serving.PredictRequest").

    Raises:
        KeyError: there is no such message.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


@functools.cache  # called for every request
def methods(service: str) -> Mapping[str, tuple[Any, Any]]:
    """The request and response classes of each method of a service, given by its full name.

    Raises:
        KeyError: there is no such service.
    """
    descriptors = POOL.FindServiceByName(service).methods
    return {one.name: (message(one.input_type.full_name), message(one.output_type.full_name)) for one in descriptors}


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
