"""The REST half of `fake_serving`: JSON to requests, and responses to JSON."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import json_format

from serving.errors import Code, StatusError
from serving.wire import protos
from serving.wire.tensor_codec import as_array, from_proto, to_proto

if TYPE_CHECKING:
    from fake_serving import FakeServing

_ROUTE = re.compile(r"(?i)/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(?::(\w+)|/(metadata))?")


def rest_response(fake: FakeServing, verb: str, path: str, body: bytes) -> Any:
    """The JSON response to a REST request."""
    found = _ROUTE.fullmatch(path)
    if found is None or (verb == "POST") != bool(found[4]):
        raise StatusError(Code.INVALID_ARGUMENT, f"Malformed request: {verb} {path}")
    model, version, label, method, metadata = found.groups()
    spec = protos.ModelSpec(name=model)
    if version:
        spec.version.value = int(version)
    if label:
        spec.version_label = label
    if verb == "GET" and metadata:
        request = protos.GetModelMetadataRequest(model_spec=spec)
        return _metadata_json(fake.answer("GetModelMetadata", request))
    if verb == "GET":
        return _json(fake.answer("GetModelStatus", protos.GetModelStatusRequest(model_spec=spec)))
    return _inference(fake, spec, method, json.loads(body))


def _inference(fake: FakeServing, spec: Any, method: str, body: Any) -> Any:
    spec.signature_name = body.get("signature_name", "")
    if method == "predict":
        return _predict(fake, spec, body)
    name = method.capitalize()
    request = protos.methods(protos.PREDICTION_SERVICE)[name][0]()
    request.model_spec.CopyFrom(spec)
    for one in body["examples"]:
        example = request.input.example_list.examples.add()
        for feature, value in one.items():
            items = value if isinstance(value, list) else [value]
            if all(isinstance(item, str) for item in items):
                example.features.feature[feature].bytes_list.value.extend(item.encode() for item in items)
            else:
                example.features.feature[feature].float_list.value.extend(items)
    result = fake.answer(name, request).result
    if method == "regress":
        return {"results": [one.value for one in result.regressions]}
    return {"results": [[[c.label, c.score] for c in row.classes] for row in result.classifications]}


def _predict(fake: FakeServing, spec: Any, body: Any) -> Any:
    request = protos.PredictRequest()
    request.model_spec.CopyFrom(spec)
    wanted = fake.signatures.get(spec.name, {}).get(spec.signature_name or "serving_default", ({}, {}))[0]
    columns = body.get("inputs")
    if columns is None:
        rows = body["instances"]
        first = rows[0]
        keys = first if isinstance(first, dict) else list(wanted)[:1]
        columns = {key: [row[key] if isinstance(row, dict) else row for row in rows] for key in keys}
    for name in wanted:  # unrequested outputs are dropped
        if name not in columns:
            raise StatusError(Code.INVALID_ARGUMENT, f"Missing named input: {name} in 'inputs' object.")
        values = columns[name]
        array = as_array(_plain(values))
        request.inputs[name].CopyFrom(to_proto(array.astype(np.float32) if wanted.get(name) == 1 else array))
    outputs = {name: from_proto(proto).tolist() for name, proto in fake.answer("Predict", request).outputs.items()}
    outputs = {name: _decoded(values) for name, values in outputs.items()}
    alone = len(outputs) == 1
    if "inputs" in body:
        return {"outputs": next(iter(outputs.values())) if alone else outputs}
    rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
    return {"predictions": [next(iter(row.values())) for row in rows] if alone else rows}


def _json(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _metadata_json(response: Any) -> Any:
    """As `ToJsonString` in tensorflow_serving/model_servers/http_rest_api_util.cc puts it together."""
    signatures = protos.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return {"model_spec": _json(response.model_spec), "metadata": {"signature_def": _json(signatures)}}


def _plain(values: Any) -> Any:
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return base64.b64decode(values["b64"]) if isinstance(values, dict) else values


def _decoded(values: Any) -> Any:
    if isinstance(values, list):
        return [_decoded(value) for value in values]
    return values.decode() if isinstance(values, bytes) else values


class HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Does not log clients that have left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def handler_class(fake: FakeServing) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, verb: str) -> None:
            fake.tokens.append(self.headers.get("Authorization"))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            try:
                status, answer = 200, fake.rest(verb, self.path, body)
            except StatusError as error:
                status, answer = error.code.http, {"error": error.message}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the client gave up waiting
                self.wfile.write(content)

        def log_message(self, format: str, *values: Any) -> None:
            pass

    return Handler
