"""Classify, Regress and MultiInference: `tf.Example`s in, classes or values out.

Sources: classifier.cc, regressor.cc and multi_inference.cc in tensorflow_serving/servables/tensorflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from serving.errors import Code, StatusError, invalid_argument
from serving.server.calls.inference import (
    CLASSIFY,
    REGRESS,
    RunPlan,
    Signatures,
    check_dtypes,
    response_model_spec,
    signature_key,
)
from serving.server.calls.request_limits import NO_LIMITS, Limits
from serving.server.calls.servable import ModelSignature
from serving.server.calls.worker_threads import Check, unchecked
from serving.server.protobuf import serialized_examples
from serving.wire import dtypes
from serving.wire.protos import ClassificationResponse, MultiInferenceResponse, RegressionResponse

_STEP_ROWS = 256

ITEM_BYTES, ENCODED_ITEM_BYTES = 64, 32
"""Approximate bytes of a class or value in a response message, and encoded."""

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"

Tensors = Mapping[str, np.ndarray]


def _plan(
    method: str,
    signatures: Signatures,
    request: Any,
    version: int | None,
    check_method: bool = False,
    limits: Limits = NO_LIMITS,
    check: Check = unchecked,
) -> RunPlan:
    """The run of one signature; `finish` returns a `ClassificationResponse` or `RegressionResponse`.

    Raises:
        StatusError: see classifier.cc and regressor.cc.
    """
    find_tensors, write, response, _ = _METHODS[method]
    name = signature_key(request.model_spec)
    if name not in signatures:
        raise invalid_argument(f"No signature was found with the name: {name}")
    signature = signatures[name]
    tensor, fetches = find_tensors(signature, check_method)
    examples = serialized_examples(request.input, limits, check)
    spec = response_model_spec(request.model_spec, version)
    check_dtypes(signature, dict.fromkeys(signature.inputs, examples))
    names = tuple(dict.fromkeys(fetches))

    def finish(outputs: Sequence[np.ndarray], check: Check = unchecked) -> Any:
        message = response(model_spec=spec)
        write(signature, len(examples), dict(zip(names, outputs, strict=True)), message.result, check)
        return message

    return RunPlan({tensor: examples}, names, finish)


def plan_multi_inference(
    signatures: Signatures,
    request: Any,
    version: int | None,
    check_method: bool = False,
    limits: Limits = NO_LIMITS,
    check: Check = unchecked,
) -> RunPlan:
    """All tasks in one run; `finish` returns a `MultiInferenceResponse`.

    Raises:
        StatusError: see multi_inference.cc.
    """
    feeds: dict[str, None] = {}
    fetches: dict[str, None] = {}
    signature_names: set[str] = set()
    for task in request.tasks:
        signature = _signature_of_task(signatures, request, task, signature_names)
        if task.method_name not in _METHODS:
            raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        tensor, outputs_of_task = _METHODS[task.method_name][0](signature, check_method)
        feeds[tensor] = None
        fetches.update(dict.fromkeys(outputs_of_task))
    examples = serialized_examples(request.input, limits, check)
    names = tuple(sorted(fetches))

    def finish(outputs: Sequence[np.ndarray], check: Check = unchecked) -> Any:
        response, named = MultiInferenceResponse(), dict(zip(names, outputs, strict=True))
        for task in request.tasks:
            _, write, _, field = _METHODS[task.method_name]
            result = getattr(response.results.add(model_spec=response_model_spec(task.model_spec, version)), field)
            result.SetInParent()
            write(signatures[signature_key(task.model_spec)], len(examples), named, result, check)
        return response

    return RunPlan(dict.fromkeys(feeds, examples), names, finish)


def _signature_of_task(signatures: Signatures, request: Any, task: Any, seen: set[str]) -> ModelSignature:
    if not task.model_spec.name:
        raise invalid_argument("Found ModelSpec with an empty model name.")
    if task.model_spec.name != request.tasks[0].model_spec.name:
        raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    name = signature_key(task.model_spec)
    if name in seen:
        raise invalid_argument(f"Duplicate evaluation of signature: {name}")
    seen.add(name)
    if name not in signatures:
        raise invalid_argument(f"Requested signature not found in model graph: {name}")
    return signatures[name]


def _classify_tensors(signature: ModelSignature, check_method: bool) -> tuple[str, list[str]]:
    """The input tensor, and those of the classes and scores (`PreProcessClassification`)."""
    _check_signature(signature, "classification", CLASSIFY if check_method else signature.method_name)
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUTS not in signature.inputs:
        raise invalid_argument(f"No classification inputs found in SignatureDef: {signature.definition}")
    fetches = [signature.outputs[alias].tensor for alias in (CLASSES, SCORES) if alias in signature.outputs]
    if not fetches:
        raise invalid_argument(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}". '
            f"Signature was: {signature.definition}"
        )
    return signature.inputs[INPUTS].tensor, fetches


def _regress_tensors(signature: ModelSignature, check_method: bool) -> tuple[str, list[str]]:
    """The input tensor and that of the values (`PreProcessRegression`)."""
    _check_signature(signature, "regression", REGRESS if check_method else signature.method_name)
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise invalid_argument(f"No regression inputs found in SignatureDef: {signature.definition}")
    if OUTPUTS not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature.definition}")
    return signature.inputs[INPUTS].tensor, [signature.outputs[OUTPUTS].tensor]


def _check_signature(signature: ModelSignature, kind: str, method: str) -> None:
    if signature.method_name != method:
        raise invalid_argument(f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}")
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")


def _write_classes(signature: ModelSignature, count: int, outputs: Tensors, result: Any, check: Check) -> None:
    """Fills a `ClassificationResult` (`PostProcessClassificationResult`)."""
    classes = _class_output(signature, CLASSES, dtypes.STRING, count, outputs)
    scores = _class_output(signature, SCORES, dtypes.FLOAT, count, outputs)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    for start in range(0, count, _STEP_ROWS):
        check()
        rows = slice(start, min(start + _STEP_ROWS, count))
        label_rows = classes[rows].tolist() if classes is not None else None
        score_rows = scores[rows].tolist() if scores is not None else None
        for row in range(rows.stop - start):
            _write_row(label_rows and label_rows[row], score_rows and score_rows[row], result.classifications.add())


def _write_row(labels: list[bytes] | None, scores: list[float] | None, row: Any) -> None:
    add = row.classes.add
    if labels is None:
        for score in scores or ():
            add(score=score)
        return
    for label, score in zip(labels, scores if scores is not None else [0.0] * len(labels), strict=True):
        add(label=label.decode("utf-8", "replace"), score=score)


def _class_output(signature: ModelSignature, alias: str, dtype: int, count: int, outputs: Tensors) -> np.ndarray | None:
    if alias not in signature.outputs:
        return None
    array = outputs[signature.outputs[alias].tensor]
    if array.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    number = dtypes.NUMBER.get(array.dtype, 0)
    if number != dtype:
        raise invalid_argument(f"Expected {alias} Tensor of {dtypes.enum_name(dtype)}. Got: {dtypes.enum_name(number)}")
    if array.shape[0] != count:
        raise invalid_argument(f"Expected {alias} output batch size of {count}. Got: {array.shape[0]}")
    return array


def _write_values(signature: ModelSignature, count: int, outputs: Tensors, result: Any, check: Check) -> None:
    """Fills a `RegressionResult` (`PostProcessRegressionResult`)."""
    array = outputs[signature.outputs[OUTPUTS].tensor]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(array)}"
        )
    if array.shape[0] != count:
        raise invalid_argument(f"Input batch size did not match output batch size: {count} vs. {array.shape[0]}")
    number = dtypes.NUMBER.get(array.dtype, 0)
    if number != dtypes.FLOAT:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {dtypes.enum_name(number)}")
    flat = array.reshape(-1)
    for start in range(0, count, _STEP_ROWS):
        check()
        for value in flat[start : start + _STEP_ROWS].tolist():
            result.regressions.add(value=value)


def _shape(array: np.ndarray) -> str:
    return "[" + ",".join(str(size) for size in array.shape) + "]"


# What finds the tensors, what writes the result, the response, and the result's field in a `MultiInferenceResponse`.
_METHODS = {
    CLASSIFY: (_classify_tensors, _write_classes, ClassificationResponse, "classification_result"),
    REGRESS: (_regress_tensors, _write_values, RegressionResponse, "regression_result"),
}
plan_classify, plan_regress = partial(_plan, CLASSIFY), partial(_plan, REGRESS)
