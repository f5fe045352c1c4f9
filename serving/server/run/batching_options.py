"""The fields of `BatchingParameters` (tensorflow_serving/servables/tensorflow/session_bundle_config.proto), checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from serving.errors import OptionsError


@dataclass(frozen=True)
class BatchingOptions:
    """How requests are batched; the defaults are TF Serving's.

    Attributes:
        max_batch_size: maximum rows of a batch and of a request.
        batch_timeout_micros: how long a batch waits for more requests while a thread is free; 0: not at all.
        max_enqueued_batches: waiting batches per signature and shape; beyond that, requests are refused.
        num_batch_threads: concurrent batches; 0 for as many as concurrent requests without batching.
        allowed_batch_sizes: in increasing order; a batch is padded to the next of them.
        pad_variable_length_inputs: also batches requests that differ in dimensions other than the first.
        enable_large_batch_splitting: a request may run in slices of `max_execution_batch_size` rows.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 0
    thread_pool_name: str = "model_server_batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0

    @property
    def execution_limit(self) -> int:
        """The maximum rows of a batch when it runs."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size:
            return self.max_execution_batch_size
        return self.max_batch_size

    def allowed(self, rows: int) -> int:
        """The rows that a batch is padded to."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


_POSITIVE = ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_execution_batch_size")


def batching_options(given: Mapping[str, Any]) -> BatchingOptions:
    """Reads the fields of the parameters file; missing ones get TF Serving's default.

    Raises:
        OptionsError: a field is unknown or has an invalid value.
    """
    known = {one.name for one in fields(BatchingOptions)}
    for name in given:
        if name not in known:
            raise _refused(name, "a field that this server does not know", ", ".join(sorted(known)))
    for name in _POSITIVE:
        if given.get(name) is not None and given[name] < 1:
            raise _refused(name, given[name], "a positive number")
    if given.get("batch_timeout_micros", 0) < 0:
        raise _refused("batch_timeout_micros", given["batch_timeout_micros"], "0 or more")
    values = {name: value for name, value in given.items() if value is not None}
    if "allowed_batch_sizes" in values:
        values["allowed_batch_sizes"] = tuple(values["allowed_batch_sizes"])
    options = BatchingOptions(**values)
    _check_sizes(options)
    return options


def _check_sizes(options: BatchingOptions) -> None:
    sizes = options.allowed_batch_sizes
    if options.execution_limit > options.max_batch_size:
        raise _refused(
            "max_execution_batch_size", options.execution_limit, f"at most max_batch_size, {options.max_batch_size}"
        )
    if any(left >= right for left, right in pairwise(sizes)) or (sizes and sizes[0] < 1):
        raise _refused("allowed_batch_sizes", list(sizes), "positive sizes in increasing order")
    if sizes and sizes[-1] != options.execution_limit:
        limit = "max_execution_batch_size" if options.enable_large_batch_splitting else "max_batch_size"
        raise _refused("allowed_batch_sizes", list(sizes), f"a last size of {options.execution_limit}, {limit}")


def _refused(name: str, got: Any, expected: str) -> OptionsError:
    return OptionsError(
        f"{name} of the batching parameters", got=str(got), expected=expected, fix="change --batching_parameters_file"
    )
