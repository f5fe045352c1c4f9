"""A service in plain numpy for the front ends' tests: the protocol without TensorFlow. Not a test itself.

Model "m" has version 1 with label "stable". Signatures: `serving_default` doubles `x` (float32 [B]) into `y`; `text`
maps `text` (strings [B]) to `label`, `length` and `raw_bytes`; `two` adds `a` and `b`; `slow` waits for as many seconds
as the first of `x`; `broken` fails unexpectedly.
"""

from __future__ import annotations

import asyncio
import os

import numpy as np

from serving.errors import Code, StatusError
from serving.server.calls.service_interface import PredictResult
from serving.wire import dtypes, protos

_X = dtypes.FLOAT
SIGNATURES = {
    "serving_default": {"x": _X},
    "text": {"text": dtypes.STRING},
    "two": {"a": _X, "b": _X},
    "slow": {"x": _X},
    "broken": {"x": _X},
}


class FakeService:
    def __init__(self, options):
        self.options = options
        self.names = [one.name for one in options.models.model_config_list.config]
        self.started = False
        self.reloads = 0

    def _version(self, spec):
        if not spec.name:
            raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
        if spec.version_label and spec.version_label != "stable":
            raise StatusError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}")
        if spec.name not in self.names:
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        if spec.HasField("version") and spec.version.value != 1:
            wanted = f"Specific({spec.name}, {spec.version.value})"
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")

    def _signature(self, name):
        if (name or "serving_default") not in SIGNATURES:
            raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        return name or "serving_default"

    async def predict(self, model_spec, inputs, output_filter=(), call=None):
        self._version(model_spec)
        name = self._signature(model_spec.signature_name)
        if set(inputs) != set(SIGNATURES[name]):
            raise StatusError(Code.INVALID_ARGUMENT, "input size does not match signature")
        try:
            async with asyncio.timeout_at(call.deadline if call else None):
                outputs = await self._run(name, inputs)
        except TimeoutError as error:
            raise StatusError(Code.DEADLINE_EXCEEDED, "Deadline exceeded before the run ended") from error
        spec = protos.ModelSpec(name=model_spec.name, signature_name=name)
        spec.version.value = 1
        return PredictResult(spec, outputs)

    async def _run(self, name, inputs):
        if name == "serving_default":
            return {"y": inputs["x"] * np.float32(2)}
        if name == "text":
            texts = inputs["text"]
            lengths = np.array([len(text) for text in texts], np.int64)
            return {"label": texts, "length": lengths, "raw_bytes": texts}
        if name == "two":
            return {"sum": inputs["a"] + inputs["b"]}
        if name == "slow":
            await asyncio.sleep(float(inputs["x"][0]))
            return {"y": inputs["x"]}
        raise RuntimeError("a secret of the server")

    async def classify(self, request, call=None):
        self._version(request.model_spec)
        response = protos.ClassificationResponse()
        for example in request.input.example_list.examples:
            row = response.result.classifications.add()
            row.classes.add(label="n", score=len(example.features.feature) / 10)
        if not response.result.classifications:
            raise StatusError(Code.INVALID_ARGUMENT, "Input is empty.")
        return response

    async def regress(self, request, call=None):
        self._version(request.model_spec)
        response = protos.RegressionResponse()
        for example in request.input.example_list.examples:
            response.result.regressions.add(value=example.features.feature["x"].float_list.value[0] / 3)
        return response

    async def multi_inference(self, request, call=None):
        raise StatusError(Code.UNIMPLEMENTED, "Unsupported signature method_name: x")

    def get_model_metadata(self, request):
        self._version(request.model_spec)
        response = protos.GetModelMetadataResponse()
        response.model_spec.CopyFrom(request.model_spec)
        signatures = protos.SignatureDefMap()
        tensor = signatures.signature_def["serving_default"].inputs["x"]
        tensor.name, tensor.dtype = "x:0", dtypes.FLOAT
        tensor.tensor_shape.dim.add(size=-1)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def get_model_status(self, request):
        self._version(request.model_spec)
        response = protos.GetModelStatusResponse()
        response.model_version_status.add(version=1, state=30)
        return response

    async def reload_config(self, request):
        await asyncio.sleep(0.01)
        self.names = [one.name for one in request.config.model_config_list.config]
        if "bad" in self.names:
            raise StatusError(Code.INVALID_ARGUMENT, f"bad in process {os.getpid()}")
        if "broken" in self.names:
            raise RuntimeError("a secret of the server")
        self.reloads += 1
        return protos.ReloadConfigResponse()

    def inputs_of(self, model_spec, signature_name):
        self._version(model_spec)
        name = signature_name or "serving_default"
        if name not in SIGNATURES:
            raise StatusError(Code.INVALID_ARGUMENT, f'Serving signature name: "{name}" not found in signature def')
        return SIGNATURES[name]

    def ready(self):
        return self.started

    async def start(self):
        self.started = True

    async def stop(self):
        self.started = False
