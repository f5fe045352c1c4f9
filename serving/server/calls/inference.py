"""What each call means: a request becomes the tensors of one run, and the run's outputs its response.

Sources, all in tensorflow_serving/servables/tensorflow: predict_util.cc, classifier.cc, regressor.cc,
multi_inference.cc, get_model_metadata_impl.cc and util.cc; `GetInputValues` is in tensorflow/cc/saved_model/util.cc.
Codes and messages are theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.errors import Code, StatusError, invalid_argument
from serving.server.calls.servable import DEFAULT_SIGNATURE, ModelSignature
from serving.server.calls.service_interface import Arrays
from serving.wire import dtypes
from serving.wire.protos import ModelSpec

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

Signatures = Mapping[str, ModelSignature]


@dataclass(frozen=True)
class RunPlan:
    """One run by the graph's tensor names, and `finish`, which builds the response from its outputs (see `Check`)."""

    feeds: dict[str, np.ndarray]
    fetches: tuple[str, ...]
    finish: Callable[..., Any]


def signature_key(model_spec: Any) -> str:
    return model_spec.signature_name or DEFAULT_SIGNATURE


def response_model_spec(model_spec: Any, version: int | None) -> Any:
    """The `ModelSpec` of a response (`MakeModelSpec`); `version` is None for warm-ups."""
    spec = ModelSpec(name=model_spec.name, signature_name=signature_key(model_spec))
    if version is not None:
        spec.version.value = version
    return spec


def find_signature(signatures: Signatures, name: str) -> ModelSignature:
    """The signature that Predict runs.

    Raises:
        StatusError: FAILED_PRECONDITION, there is no signature of that name.
    """
    found = signatures.get(name)
    if found is None:
        raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return found


def plan_predict(
    signatures: Signatures, name: str, inputs: Arrays, output_filter: Sequence[str], check_method: bool = False
) -> RunPlan:
    """`finish` returns the outputs by alias.

    Raises:
        StatusError: see predict_util.cc.
    """
    signature = find_signature(signatures, name)
    if check_method and signature.method_name not in (PREDICT, CLASSIFY, REGRESS):
        raise StatusError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{PREDICT}, {CLASSIFY}, {REGRESS}}}. "
            f"Was: {signature.method_name}",
        )
    values = _input_values(signature, inputs)
    aliases = _filtered(signature, output_filter) if output_filter else tuple(signature.outputs)
    check_dtypes(signature, values)
    feeds = {endpoint.tensor: values[alias] for alias, endpoint in signature.inputs.items()}
    fetches = tuple([signature.outputs[alias].tensor for alias in aliases])
    return RunPlan(feeds, fetches, lambda outputs: dict(zip(aliases, outputs, strict=True)))


def _input_values(signature: ModelSignature, inputs: Arrays) -> Arrays:
    expected = signature.inputs
    if inputs.keys() == expected.keys():
        return inputs
    extra, missing = inputs.keys() - expected.keys(), expected.keys() - inputs.keys()
    if len(inputs) > len(expected) or (len(inputs) < len(expected) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(expected)} len({{{_names(inputs)}}}) != "
            f"len({{{_names(expected)}}}). Sent extra: {{{_names(extra)}}}. "
            f"Missing but required: {{{_names(missing)}}}."
        )
    for alias in sorted(missing - signature.defaults.keys()):
        raise invalid_argument(
            f"Signature input alias: {alias}(feed name: {expected[alias].tensor}) not found in request and no default "
            f"value provided. Inputs expected to be in the request {{{_names(inputs)}}}, or default input alias set: "
            f"{_names(signature.defaults)}"
        )
    if extra:
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_names(inputs.keys() & expected.keys())}, "
            f"request input: {_names(inputs)}"
        )
    return {**{alias: signature.defaults[alias] for alias in missing}, **inputs}


def _names(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _filtered(signature: ModelSignature, output_filter: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_names(signature.outputs)}}}."
            )
        if alias in seen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        seen[alias] = None
    return tuple(seen)


def check_dtypes(signature: ModelSignature, values: Arrays) -> None:
    """The session's own check, made before a request is batched with others."""
    for index, (alias, endpoint) in enumerate(signature.inputs.items()):
        sent = dtypes.NUMBER.get(values[alias].dtype)
        if sent != endpoint.dtype:
            got = str(values[alias].dtype) if sent is None else dtypes.name_of(sent)
            raise invalid_argument(f"Expects arg[{index}] to be {dtypes.name_of(endpoint.dtype)} but {got} is provided")
