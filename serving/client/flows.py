"""The logic of a client as generators without I/O, which the sync and the async client run alike.

A flow yields a `SendCall`, `Sleep` or `Gather` and receives its result or its error.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.client.errors import ClientError, DeadlineExceeded, InvalidRequest, ModelNotFound, ServerError
from serving.client.model_calls import Call, GetMetadata, Infer, ModelMetadata, Predict, VersionedOutputs
from serving.client.outputs import Prediction, predictions
from serving.errors import Code

# Seconds before the first retry, and at most before any; up to half is cut at random to spread out clients.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


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
Flow = Generator[Step, Any, Any]


class Patience:
    """The time limit of one call of a client, and the retries of its requests.

    Args:
        timeout: seconds from now, None for no limit.
        retries: per request.
    """

    def __init__(self, timeout: float | None, retries: int) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout
        self._retries = retries

    def remaining(self) -> float | None:
        """The remaining seconds.

        Raises:
            DeadlineExceeded: there are none.
        """
        left = None if self._end is None else self._end - time.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceeded(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
        return left

    def pause(self, tried: int, error: ClientError) -> float:
        """Seconds to wait after the `tried`th failure: exponential backoff with jitter.

        Raises:
            ClientError: `error` itself, if a retry is useless.
        """
        longest = min(_FIRST_PAUSE * 2.0 ** (tried - 1), _LONGEST_PAUSE)
        pause = random.uniform(longest / 2, longest)
        too_late = self._end is not None and time.monotonic() + pause >= self._end
        if not error.retry or tried > self._retries or too_late:
            raise error
        return pause


@dataclass
class KnownVersions:
    """What a client knows about the versions of its model.

    Attributes:
        tells_version: whether each response contains its version (gRPC); REST needs another request.
        pinned: the version that the caller chose, whose metadata never change.
        labels: the labels by version, None if the version does not provide them.
    """

    tells_version: bool
    pinned: int | None
    labels: dict[int, tuple[str, ...] | None] = field(default_factory=dict)
    metadata: ModelMetadata | None = None


def send(call: Call, patience: Patience) -> Flow:
    """Sends one call, with retries."""
    tried = 0
    while True:
        try:
            return (yield SendCall(call, patience.remaining()))
        except ClientError as error:
            tried += 1
            pause = patience.pause(tried, error)
        yield Sleep(pause)


def predict(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    signature: str,
    batch_size: int,
    patience: Patience,
    known: KnownVersions,
) -> Flow:
    """Sends the texts in batches; the result is a list of `Prediction`s in their order."""
    # Group texts of similar length: the model pads a batch to its longest.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]) + (len(pairs[row]) if pairs else 0))
    batches = [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
    if not batches:
        return []
    calls = [
        Predict(
            signature,
            {"text": [texts[row] for row in rows]} | ({} if pairs is None else {"text_pair": [pairs[r] for r in rows]}),
        )
        for rows in batches
    ]
    by_row: dict[int, Prediction] = {}
    results = yield from _run(calls, patience, known)
    for rows, result in zip(batches, results, strict=True):
        names: tuple[str, ...] | None = None
        if "probabilities" in result.outputs and result.version is not None:
            names = yield from _labels(result.version, patience, known)
        by_row.update(zip(rows, _check_rows(predictions(result.outputs, names), len(rows)), strict=True))
    return [by_row[row] for row in range(len(texts))]


def predict_arrays(inputs: Mapping[str, Any], signature: str, patience: Patience, known: KnownVersions) -> Flow:
    """Runs a signature on arrays; the result is a dict of output name to array."""
    (result,) = yield from _run([Predict(signature, inputs)], patience, known)
    return dict(result.outputs)


def _run(calls: Sequence[Predict], patience: Patience, known: KnownVersions) -> Flow:
    """The `VersionedOutputs` of each call, with names and dtypes."""
    flows = [send(call, patience) for call in calls]
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
    metadata = yield from send(GetMetadata(), patience)
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
            (classes,) = yield from send(Infer("classify", "classify", [{}], version), patience)
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
