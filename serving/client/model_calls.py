"""The calls to a served model and their results, independent of the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Example = Mapping[str, Any]
"""A `tf.Example`: feature name to a str, bytes, int or float, or a list of one of them."""


@dataclass(frozen=True)
class Predict:
    """Runs a signature on named arrays or lists; the result is `VersionedOutputs`."""

    signature: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Infer:
    """Classify or Regress; the result is a list with an item for each example."""

    method: str
    signature: str
    examples: Sequence[Example]
    version: int | None = None


@dataclass(frozen=True)
class GetStatus:
    """The result is a list of `VersionStatus`."""


@dataclass(frozen=True)
class GetMetadata:
    """The result is `ModelMetadata`."""


@dataclass(frozen=True)
class Reload:
    """Replaces the server's `ModelServerConfig`; the result is None. gRPC only."""

    config: Any


Call = Predict | Infer | GetStatus | GetMetadata | Reload


@dataclass(frozen=True)
class VersionedOutputs:
    """The outputs of a run.

    Attributes:
        outputs: name to array. Over REST numbers are float64 or int64, and a single output has the name "", because
            the protocol transmits neither.
        version: the version that ran; None over REST.
    """

    outputs: Mapping[str, np.ndarray]
    version: int | None = None


@dataclass(frozen=True)
class VersionStatus:
    """The status of a version.

    Attributes:
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error: why it could not be loaded, else "".
    """

    version: int
    state: str
    error: str = ""


@dataclass(frozen=True)
class Tensor:
    """An input or output of a signature: `dtype` as TensorFlow writes it ("float32", "string"), and the sizes, None
    if variable; the shape is None if the rank is variable."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """A signature of a model; `method` is TF Serving's name, such as "tensorflow/serving/predict"."""

    method: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


@dataclass(frozen=True)
class ModelMetadata:
    """A model's metadata: the version that a request gets, and its signatures by name."""

    version: int
    signatures: Mapping[str, Signature]


def feature_values(name: str, value: Any) -> list[Any]:
    """The values of an example's feature as Python objects: all str or bytes, or all int, or numbers.

    Raises:
        TypeError: values of other kinds.
    """
    plain = value.tolist() if hasattr(value, "tolist") else value
    items = [
        item.tolist() if hasattr(item, "tolist") else item
        for item in (plain if isinstance(plain, (list, tuple)) else [plain])
    ]
    if any(isinstance(item, int) and not -(2**63) <= item < 2**63 for item in items):
        raise TypeError(f"the feature {name!r} holds an integer of more than 64 bits")
    texts = [isinstance(item, (str, bytes)) for item in items]
    if not all(texts) and (any(texts) or not all(isinstance(item, (int, float)) for item in items)):
        raise TypeError(
            f"the feature {name!r} is {repr(value)[:100]}; expected str, bytes, int or float, or a list of one of them"
        )
    return [int(item) if isinstance(item, bool) else item for item in items]


def status_of(response: Any) -> list[VersionStatus]:
    """The result in a `GetModelStatusResponse`, newest version first."""
    found = [
        VersionStatus(one.version, _enum_name(one, "state"), one.status.error_message)
        for one in response.model_version_status
    ]
    return sorted(found, key=lambda one: -one.version)


def metadata_of(model_spec: Any, signatures: Any) -> ModelMetadata:
    """The result in a `ModelSpec` and a `SignatureDefMap`."""
    found = {name: _signature(one) for name, one in sorted(signatures.signature_def.items())}
    return ModelMetadata(model_spec.version.value, found)


def _signature(message: Any) -> Signature:
    def tensors(infos: Any) -> dict[str, Tensor]:
        return {name: _tensor(info) for name, info in sorted(infos.items())}

    return Signature(message.method_name, tensors(message.inputs), tensors(message.outputs))


def _tensor(info: Any) -> Tensor:
    names = {"float": "float32", "double": "float64", "half": "float16"}
    dtype = _enum_name(info, "dtype").removeprefix("DT_").lower()
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in shape.dim)
    return Tensor(names.get(dtype, dtype), sizes)


def _enum_name(message: Any, field: str) -> str:
    number = getattr(message, field)
    found = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(number)
    return found.name if found else str(number)
