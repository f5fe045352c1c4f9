"""A version's folder becomes a servable that has answered its warm-up requests, and how requests to it are joined."""

from __future__ import annotations

import functools
import logging
import time
from pathlib import Path

from serving.errors import Code, OptionsError, StatusError
from serving.server.calls.servable import Servable
from serving.server.flag_files import read_batching
from serving.server.models.warmup_replay import warm_up
from serving.server.options import ServerOptions
from serving.server.run.batching_options import BatchingOptions, batching_options

_log = logging.getLogger(__name__)

TFLITE_FILE = "model.tflite"
BATCHING_FILE = "batching_params.pbtxt"


def batching_of(folder: Path, options: ServerOptions) -> BatchingOptions | None:
    """How requests to a version are joined, None where each runs by itself.

    Source: `GetPerModelBatchingParams` in tensorflow_serving/servables/tensorflow/bundle_factory_util.cc.

    Raises:
        StatusError: INVALID_ARGUMENT, the version's own file cannot be used.
    """
    if options.batching is None or not options.enable_per_model_batching_parameters:
        return None if options.batching is None else batching_options(options.batching)
    path = folder / BATCHING_FILE
    if not path.is_file():
        return None
    try:
        return batching_options(read_batching(path, "enable_per_model_batching_parameters"))
    except OptionsError as error:
        raise StatusError(Code.INVALID_ARGUMENT, str(error)) from error


def load(folder: Path, options: ServerOptions) -> Servable:
    """Loads a version and warms it up. It takes its time: in a thread.

    Raises:
        StatusError: it cannot be loaded, or a warm-up request failed.
    """
    # TensorFlow takes seconds to import: only what loads models pays for it.
    if options.prefer_tflite_model and (folder / TFLITE_FILE).is_file():
        from serving.server.models.tflite_model import TfliteModel

        servable: Servable = TfliteModel(folder / TFLITE_FILE, options)
    else:
        _import_tensorflow()
        from serving.server.models.savedmodel import SavedModel

        servable = SavedModel(folder, options)
    try:
        warm_up(servable, folder, options)
    except BaseException:
        servable.close()
        raise
    return servable


@functools.cache
def _import_tensorflow() -> None:
    """Says once what most of a start goes to."""
    began = time.monotonic()
    import tensorflow as tf

    _log.info("TensorFlow %s is imported, after %.1f s", tf.__version__, time.monotonic() - began)
