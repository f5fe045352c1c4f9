"""A small server with TF Serving's protocol over gRPC and REST, which fails on demand.

Its models, by name: `reviews` (single label: pos if the text contains "good"), `topics` (multi label), `stars`
(regression: the length of the text), `pairs` (single label: whether both texts are the same) and `doubler` (arrays).
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import grpc
import numpy as np
from fake_rest import HttpServer, handler_class, rest_response

from serving.errors import Code, StatusError
from serving.wire import protos
from serving.wire.tensor_codec import as_array, from_proto, to_proto

LABELS = {"reviews": ("neg", "pos"), "topics": ("art", "money", "sport"), "pairs": ("different", "same")}
SIGNATURES: dict[str, dict[str, tuple[dict[str, int], dict[str, int]]]] = {
    name: {
        "serving_default": (
            {"text": 7} | ({"text_pair": 7} if name == "pairs" else {}),
            {"label": 7, "probabilities": 1, "score": 1},
        ),
        "classify": ({"inputs": 7}, {"classes": 7, "scores": 1}),
    }
    for name in LABELS
} | {
    "stars": {"serving_default": ({"text": 7}, {"score": 1}), "regress": ({"inputs": 7}, {"outputs": 1})},
    "doubler": {"serving_default": ({"x": 1, "name": 7}, {"y": 1, "name": 7}), "one": ({"x": 3}, {"y": 3})},
}


class FakeServing:
    """A context manager that runs the server in threads of this process.

    Attributes:
        versions: the served versions; the newest is the default.
        labels: version labels.
        failures: errors for the next requests, in order.
        delay: seconds before each response.
        requests: (method, rows, requested version) of every request.
        max_in_flight: the highest number of concurrent requests.
        tokens: the `authorization` of every request.

    Args:
        ports: for gRPC and REST; 0 for a free one.
        credentials, context: TLS for gRPC (`grpc.ServerCredentials`) and for REST (`ssl.SSLContext`).
    """

    signatures = SIGNATURES

    def __init__(self, *, ports: tuple[int, int] = (0, 0), credentials: Any = None, context: Any = None) -> None:
        self.versions, self.labels = [1], {"stable": 1}
        self.failures: list[StatusError] = []
        self.delay = 0.0
        self.requests: list[tuple[str, int, Any]] = []
        self.reloads: list[Any] = []
        self.tokens: list[str | None] = []
        self.max_in_flight = self._at_once = 0
        self._lock = threading.Lock()
        self._grpc = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        for service in (protos.PREDICTION_SERVICE, protos.MODEL_SERVICE):
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(self._handler(name), kinds[0].FromString, _serialize)
                for name, kinds in protos.methods(service).items()
            }
            self._grpc.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
        self.grpc_port = (
            self._grpc.add_secure_port(f"127.0.0.1:{ports[0]}", credentials)
            if credentials
            else self._grpc.add_insecure_port(f"127.0.0.1:{ports[0]}")
        )
        self._http = HttpServer(("127.0.0.1", ports[1]), handler_class(self))
        if context:
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.rest_port = self._http.server_port
        self.grpc_url = f"grpc{'s' if credentials else ''}://127.0.0.1:{self.grpc_port}"
        self.rest_url = f"http{'s' if context else ''}://127.0.0.1:{self.rest_port}"

    def __enter__(self) -> FakeServing:
        self._grpc.start()
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._grpc.stop(0)
        self._http.shutdown()
        self._http.server_close()

    def url(self, wire: str) -> str:
        """The URL for "grpc" or "rest"."""
        return self.grpc_url if wire == "grpc" else self.rest_url

    def answer(self, method: str, request: Any) -> Any:
        """The response to a request of either service.

        Raises:
            StatusError: the next of `failures`, or TF Serving's own refusal.
        """
        with self._lock:
            self._at_once += 1
            self.max_in_flight = max(self.max_in_flight, self._at_once)
        try:
            time.sleep(self.delay)
            with self._lock:
                if self.failures:
                    raise self.failures.pop(0)
            return getattr(self, f"_{method}")(request)
        finally:
            with self._lock:
                self._at_once -= 1

    def version_of(self, spec: Any) -> int:
        """The version that a ModelSpec selects."""
        if spec.name not in SIGNATURES:
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        if spec.HasField("version_label"):
            if spec.version_label not in self.labels:
                raise StatusError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}")
            return self.labels[spec.version_label]
        version = spec.version.value if spec.HasField("version") else max(self.versions)
        if version not in self.versions:
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: Specific({spec.name}, {version})")
        return version

    def names(self, model: str, version: int) -> list[str]:
        """Labels in the order of the outputs; version 2 has the reverse order."""
        return sorted(LABELS[model], reverse=version == 2)

    def _Predict(self, request: Any) -> Any:
        version = self.version_of(request.model_spec)
        signature = request.model_spec.signature_name or "serving_default"
        inputs = {name: from_proto(proto) for name, proto in request.inputs.items()}
        self.requests.append(("predict", len(next(iter(inputs.values()), ())), _chosen(request.model_spec)))
        model = request.model_spec.name
        if signature not in SIGNATURES[model]:
            raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{signature}" not found.')
        wanted = SIGNATURES[model][signature][0]
        if set(inputs) != set(wanted):
            sent, missing = sorted(set(inputs) - set(wanted)), sorted(set(wanted) - set(inputs))
            message = f"input size does not match signature: {len(inputs)}!={len(wanted)} len({{{','.join(inputs)}}})"
            message += f" != len({{{','.join(wanted)}}}). Sent extra: {{{','.join(sent)}}}. "
            raise StatusError(Code.INVALID_ARGUMENT, f"{message}Missing but required: {{{','.join(missing)}}}.")
        response = protos.PredictResponse()
        response.model_spec.name, response.model_spec.version.value = model, version
        for name, array in self._outputs(model, version, inputs).items():
            response.outputs[name].CopyFrom(to_proto(array))
        return response

    def _outputs(self, model: str, version: int, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if model == "doubler":
            return {"y": inputs["x"] * 2} | ({"name": inputs["name"]} if "name" in inputs else {})
        texts = [text.decode(errors="replace") for text in inputs["text"].tolist()]
        if model == "stars":
            return {"score": np.array([len(text) for text in texts], np.float32)}
        names = self.names(model, version)
        pairs = [text.decode() for text in inputs["text_pair"].tolist()] if model == "pairs" else texts
        rows = np.array(
            [[_probability(model, name, a, b) for name in names] for a, b in zip(texts, pairs, strict=True)], np.float32
        )
        best = [names[row] for row in rows.argmax(axis=1)]
        if model == "topics":
            best = ["|".join(n for n, p in zip(names, row, strict=True) if p > 0.5) for row in rows.tolist()]
        return {"label": as_array(best), "score": rows.max(axis=1), "probabilities": rows}

    def _Classify(self, request: Any) -> Any:
        version = self.version_of(request.model_spec)
        self.requests.append(("classify", len(request.input.example_list.examples), _chosen(request.model_spec)))
        model, response = request.model_spec.name, protos.ClassificationResponse()
        if request.model_spec.signature_name not in SIGNATURES[model]:
            key = request.model_spec.signature_name
            raise StatusError(Code.INVALID_ARGUMENT, f"No signature was found with the name: {key}")
        for example in request.input.example_list.examples:
            text = b"".join(example.features.feature["text"].bytes_list.value).decode()
            row = response.result.classifications.add()
            for name in self.names(model, version):
                row.classes.add(label=name, score=_probability(model, name, text, text))
        return response

    def _Regress(self, request: Any) -> Any:
        self.version_of(request.model_spec)
        response = protos.RegressionResponse()
        for example in request.input.example_list.examples:
            text = b"".join(example.features.feature["text"].bytes_list.value)
            response.result.regressions.add(value=len(text))
        return response

    def _GetModelStatus(self, request: Any) -> Any:
        if request.model_spec.name not in SIGNATURES:
            message = f"Could not find any versions of model {request.model_spec.name}"
            raise StatusError(Code.NOT_FOUND, message)
        response = protos.GetModelStatusResponse()
        for version in self.versions:
            response.model_version_status.add(version=version, state=30)
        return response

    def _GetModelMetadata(self, request: Any) -> Any:
        version = self.version_of(request.model_spec)
        self.requests.append(("metadata", 0, _chosen(request.model_spec)))
        signatures, response = protos.SignatureDefMap(), protos.GetModelMetadataResponse()
        for name, (inputs, outputs) in SIGNATURES[request.model_spec.name].items():
            signature = signatures.signature_def[name]
            signature.method_name = "tensorflow/serving/predict"
            for infos, tensors in ((signature.inputs, inputs), (signature.outputs, outputs)):
                for tensor, dtype in tensors.items():
                    infos[tensor].dtype = dtype
                    infos[tensor].tensor_shape.dim.add(size=-1)
        response.model_spec.name, response.model_spec.version.value = request.model_spec.name, version
        response.metadata["signature_def"].Pack(signatures)
        return response

    def _HandleReloadConfigRequest(self, request: Any) -> Any:
        self.reloads.append(request.config)
        return protos.ReloadConfigResponse()

    def rest(self, verb: str, path: str, body: bytes) -> Any:
        """The JSON response to a REST request."""
        return rest_response(self, verb, path, body)

    def _handler(self, name: str) -> Any:
        def handle(request: Any, context: Any) -> Any:
            self.tokens.append(dict(context.invocation_metadata()).get("authorization"))
            try:
                return self.answer(name, request)
            except StatusError as error:
                codes = {code.value[0]: code for code in grpc.StatusCode}
                context.abort(codes[error.code.number], error.message)

        return handle


def _probability(model: str, name: str, text: str, pair: str) -> float:
    if model == "topics":
        return 0.875 if name in text else 0.125
    yes = text == pair if model == "pairs" else "good" in text
    return 0.875 if yes == (name in ("pos", "same")) else 0.125


def _chosen(spec: Any) -> Any:
    return spec.version.value if spec.HasField("version") else spec.version_label or None


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())
