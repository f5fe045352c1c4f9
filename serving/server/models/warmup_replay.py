"""Runs the warm-up requests under `assets.extra` before a version is served.

Sources: saved_model_warmup.cc and saved_model_warmup_util.cc in tensorflow_serving/servables/tensorflow.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from serving.errors import Code, StatusError, invalid_argument
from serving.server.calls.example_inference import plan_classify, plan_multi_inference, plan_regress
from serving.server.calls.inference import RunPlan, plan_predict, signature_key
from serving.server.calls.request_limits import Limits
from serving.server.calls.request_tensors import decode_inputs
from serving.server.calls.servable import Servable
from serving.server.options import ServerOptions
from serving.wire.protos import PredictionLog

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000

_LENGTH = struct.Struct("<Q")
_CHECKSUM_BYTES = 4

_log = logging.getLogger(__name__)


def warm_up(servable: Servable, folder: Path, options: ServerOptions) -> None:
    """Runs the version's warm-up requests, if it has any.

    Raises:
        StatusError: a request failed, which fails the version; or the file is invalid.
    """
    path = folder / FILE
    if not options.enable_model_warmup or not path.is_file():
        return
    started, count = time.monotonic(), 0
    for record in records(path):
        try:
            log = PredictionLog.FromString(record)
        except DecodeError as error:
            raise invalid_argument(f"Failed to parse warmup record: {record[:100]!r} from {path}") from error
        for _ in range(max(options.num_request_iterations_for_warmup, 1)):
            _run(servable, log, options)
        count += 1
        if count > MAX_RECORDS:
            raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
    _log.info("Finished reading warmup data at %s: %d records, %.2f s", path, count, time.monotonic() - started)


def _run(servable: Servable, log: Any, options: ServerOptions) -> None:
    plan = _plan(servable, log, options)
    if plan is not None:
        plan.finish(servable.run(plan.feeds, plan.fetches, None))


def _plan(servable: Servable, log: Any, options: ServerOptions) -> RunPlan | None:
    kind = log.WhichOneof("log_type")
    signatures, check = servable.signatures, options.enable_signature_method_name_check
    if kind == "predict_log":
        request = log.predict_log.request
        inputs = decode_inputs(request.inputs, Limits(options.max_pending_bytes, options.max_pending_rows))
        return plan_predict(signatures, signature_key(request.model_spec), inputs, request.output_filter, check)
    if kind == "classify_log":
        return plan_classify(signatures, log.classify_log.request, None, check)
    if kind == "regress_log":
        return plan_regress(signatures, log.regress_log.request, None, check)
    if kind == "multi_inference_log":
        return plan_multi_inference(signatures, log.multi_inference_log.request, None, check)
    if kind is None:
        return None
    number = PredictionLog.DESCRIPTOR.fields_by_name[kind].number
    raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")


def records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file; the checksums are not verified, because that needs another library.

    Raises:
        StatusError: DATA_LOSS, the file ends within a record.
    """
    with open(path, "rb") as file:
        while header := file.read(_LENGTH.size + _CHECKSUM_BYTES):
            length = _LENGTH.unpack_from(header)[0] if len(header) == _LENGTH.size + _CHECKSUM_BYTES else 0
            left = path.stat().st_size - file.tell()
            if len(header) < _LENGTH.size + _CHECKSUM_BYTES or length + _CHECKSUM_BYTES > left:
                raise StatusError(
                    Code.DATA_LOSS,
                    f"truncated record at {file.tell() - len(header)}. Please verify your warmup data is in TFRecord "
                    "format.",
                )
            yield file.read(length)
            file.seek(_CHECKSUM_BYTES, 1)
