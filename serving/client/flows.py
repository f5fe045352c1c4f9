"""The logic of a client as generators without I/O, which the sync and the async client run alike.

A flow yields a `SendCall`, `Sleep` or `Gather` and receives its result or its error.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from serving.client.base_client import DEFAULT, BaseClient, KnownVersions, Patience
from serving.client.errors import ClientError, InvalidRequest, ModelNotFound, ServerError
from serving.client.model_calls import (
    Call,
    Example,
    GetMetadata,
    GetStatus,
    Infer,
    ModelMetadata,
    Predict,
    Reload,
    VersionedOutputs,
    VersionStatus,
)
from serving.client.outputs import Prediction, predictions
from serving.errors import Code

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class SendCall:
    """Send the call; the result is its response."""

    call: Call
    timeout: float | None


@dataclass(frozen=True)
class Sleep:
    seconds: float


@dataclass(frozen=True)
class Gather:
    """Run the flows, several at a time; the result is the list of their results in order, or the first error."""

    flows: Sequence[Flow]


Step = SendCall | Sleep | Gather
T = TypeVar("T")
Flow = Generator[Step, Any, T]


def predict(
    client: BaseClient, texts: Sequence[str], pairs: Sequence[str] | None = None, *, timeout: float | None = DEFAULT
) -> Flow[list[Prediction]]:
    """Predictions for texts, in their order; for a model that Transom exported.

    Args:
        texts: any number of strings; they are sent in batches.
        pairs: the second text for each text, for a model of text pairs.

    Raises:
        ClientError: the first request that failed.
    """
    texts, pairs = _checked("texts", texts), None if pairs is None else _checked("pairs", pairs)
    if pairs is not None and len(pairs) != len(texts):
        raise ValueError(f"got {len(texts)} texts and {len(pairs)} pairs, expected a pair for each text")
    patience, size = client.patience(timeout), client.batch_size
    # Group texts of similar length: the model pads a batch to its longest.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]) + (len(pairs[row]) if pairs else 0))
    batches = [order[begin : begin + size] for begin in range(0, len(order), size)]
    if not batches:
        return []
    calls = [
        Predict(
            client.signature,
            {"text": [texts[row] for row in rows]} | ({} if pairs is None else {"text_pair": [pairs[r] for r in rows]}),
        )
        for rows in batches
    ]
    by_row: dict[int, Prediction] = {}
    results = yield from _run(calls, patience, client.known)
    for rows, result in zip(batches, results, strict=True):
        names: tuple[str, ...] | None = None
        if "probabilities" in result.outputs and result.version is not None:
            names = yield from _labels(result.version, patience, client.known)
        by_row.update(zip(rows, _check_rows(predictions(result.outputs, names), len(rows)), strict=True))
    return [by_row[row] for row in range(len(texts))]


def predict_arrays(
    client: BaseClient, inputs: Mapping[str, Any], *, signature: str | None = None, timeout: float | None = DEFAULT
) -> Flow[dict[str, np.ndarray]]:
    """Runs any signature of any model, in one request.

    Args:
        inputs: name to array or (nested) list. Arrays keep their dtype; Python numbers become float32 or int32.

    Returns:
        Output name to array; strings are `bytes` in an object array.

    Raises:
        TypeError: an input is not an array of numbers or strings.
    """
    call = Predict(signature or client.signature, inputs)
    (result,) = yield from _run([call], client.patience(timeout), client.known)
    return dict(result.outputs)


def classify(
    client: BaseClient, examples: Sequence[Example], *, signature: str = "classify", timeout: float | None = DEFAULT
) -> Flow[list[list[tuple[str, float]]]]:
    """TF Serving's Classify: for each example (feature name to value or list), its classes and scores."""
    return _send(Infer("classify", signature, _checked_examples(examples)), client.patience(timeout))


def regress(
    client: BaseClient, examples: Sequence[Example], *, signature: str = "regress", timeout: float | None = DEFAULT
) -> Flow[list[float]]:
    """TF Serving's Regress: a number for each example (feature name to value or list)."""
    return _send(Infer("regress", signature, _checked_examples(examples)), client.patience(timeout))


def status(client: BaseClient, *, timeout: float | None = DEFAULT) -> Flow[list[VersionStatus]]:
    """The model's versions on the server, newest first."""
    return _send(GetStatus(), client.patience(timeout))


def metadata(client: BaseClient, *, timeout: float | None = DEFAULT) -> Flow[ModelMetadata]:
    """The version that requests get, and its signatures."""
    return _send(GetMetadata(), client.patience(timeout))


def reload_config(client: BaseClient, config: Any, *, timeout: float | None = DEFAULT) -> Flow[None]:
    """Replaces the configuration of all models of the server; returns when they are available. Over gRPC only.

    Args:
        config: a `serving.wire.protos.ModelServerConfig`.
    """
    return _send(Reload(config), client.patience(timeout))


def _checked(name: str, texts: Sequence[str]) -> list[str]:
    """The texts as a list.

    Raises:
        TypeError: they are a single text, or one of them is not text.
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{name}: got one string, expected a list of them: [{texts[:20]!r}]")
    listed = list(texts)
    for row, text in enumerate(listed):
        if not isinstance(text, (str, bytes)):
            raise TypeError(f"{name}[{row}]: got {_shown(text)}, expected a str")
    return listed


def _checked_examples(examples: Sequence[Example]) -> list[Example]:
    if isinstance(examples, Mapping):
        raise TypeError("examples: got one example, expected a list of them")
    listed = list(examples)
    for row, example in enumerate(listed):
        if not isinstance(example, Mapping) or not all(isinstance(name, str) for name in example):
            raise TypeError(f"examples[{row}]: got {_shown(example)}, expected a mapping of feature names to values")
    return listed


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {repr(value)[:100]}"


def _send(call: Call, patience: Patience) -> Flow:
    """Sends one call, with retries."""
    tried = 0
    while True:
        try:
            return (yield SendCall(call, patience.remaining()))
        except ClientError as error:
            tried += 1
            pause = patience.pause(tried, error)
        yield Sleep(pause)


def _run(calls: Sequence[Predict], patience: Patience, known: KnownVersions) -> Flow:
    """The `VersionedOutputs` of each call, with names and dtypes."""
    flows = [_send(call, patience) for call in calls]
    if known.tells_version:
        return (yield Gather(flows))
    metadata, *results = yield Gather([_metadata(patience, known), *flows])
    _check_inputs(calls[0], metadata)
    return [_typed(result, call.signature, metadata) for call, result in zip(calls, results, strict=True)]


def _check_inputs(call: Predict, metadata: ModelMetadata) -> None:
    """Refuses inputs that the signature does not have, as gRPC does; REST would ignore them, such as a second text."""
    if call.signature in metadata.signatures:
        known = metadata.signatures[call.signature].inputs
        extra = sorted(set(call.inputs) - set(known))
        if extra:
            message = f'the signature "{call.signature}" has no input {", ".join(extra)}; it has {", ".join(known)}'
            raise InvalidRequest(Code.INVALID_ARGUMENT, message)


def _metadata(patience: Patience, known: KnownVersions) -> Flow:
    """The version that requests get now, and its signatures."""
    if known.metadata is not None:
        return known.metadata
    metadata = yield from _send(GetMetadata(), patience)
    if known.pinned is not None:
        known.metadata = metadata
    return metadata


def _typed(result: VersionedOutputs, signature: str, metadata: ModelMetadata) -> VersionedOutputs:
    """Adds what REST leaves out: the version, the name of a single output, and dtypes."""
    import numpy as np  # here, to keep importing the client fast

    wanted = metadata.signatures[signature].outputs if signature in metadata.signatures else {}
    outputs = result.outputs
    if set(outputs) == {""} and len(wanted) == 1:
        outputs = {next(iter(wanted)): outputs[""]}
    typed = dict(outputs)
    for name in outputs.keys() & wanted.keys():
        try:
            with np.errstate(over="ignore", invalid="raise"):
                typed[name] = outputs[name].astype(_numpy_dtype(wanted[name].dtype, outputs[name]))
        except (TypeError, ValueError, ArithmeticError) as error:
            message = f"the output {name} is no {wanted[name].dtype}, which the model's metadata declare: {error}"
            raise ServerError(Code.INTERNAL, message) from None
    return VersionedOutputs(typed, metadata.version)


def _numpy_dtype(name: str, array: Any) -> Any:
    """The NumPy dtype of a tensor; the array's own if NumPy has none of that name."""
    if name == "string":
        return object
    return name if array.dtype != object and name.startswith(("float", "int", "uint", "bool")) else array.dtype


def _labels(version: int, patience: Patience, known: KnownVersions) -> Flow:
    """A version's labels: the classes in the response to one Classify request with an empty example."""
    if version not in known.labels:
        try:
            (classes,) = yield from _send(Infer("classify", "classify", [{}], version), patience)
            known.labels[version] = tuple(name for name, _ in classes)
        except (InvalidRequest, ModelNotFound, ValueError):
            known.labels[version] = None  # no such signature, or the version has just been unloaded
        except ServerError:
            return None  # no Classify, or a temporary failure; there are predictions even so
    return known.labels[version]


def _check_rows(rows: list[Any], expected: int) -> list[Any]:
    if len(rows) != expected:
        raise ServerError(Code.INTERNAL, f"the server returned {len(rows)} rows for {expected}")
    return rows
