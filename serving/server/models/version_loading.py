"""Loads a version's folder, warms it up, and reads how its requests are batched."""

from __future__ import annotations

import functools
import logging
import time
from pathlib import Path

from serving.errors import OptionsError, invalid_argument
from serving.server.calls.servable import Servable
from serving.server.flag_files import read_batching
from serving.server.models.warmup_replay import warm_up
from serving.server.options import ServerOptions
from serving.server.run.batching_options import BatchingOptions, batching_options

_log = logging.getLogger(__name__)

TFLITE_FILE = "model.tflite"
BATCHING_FILE = "batching_params.pbtxt"


def batching_of(folder: Path, options: ServerOptions) -> BatchingOptions | None:
    """How requests to a version are batched, None if they are not.

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
        raise invalid_argument(str(error)) from error


def load_with_batching(folder: Path, options: ServerOptions) -> tuple[Servable, BatchingOptions | None]:
    """`load` and `batching_of`; checks the batching first, which is fast."""
    batching = batching_of(folder, options)
    return load(folder, options), batching


def load(folder: Path, options: ServerOptions) -> Servable:
    """Loads a version and warms it up. Slow: call it in a thread.

    Raises:
        StatusError: it cannot be loaded, or a warm-up request failed.
    """
    # Imported here because TensorFlow takes seconds to import.
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
    """Logs, once, what takes most of a start."""
    began = time.monotonic()
    import tensorflow as tf

    _log.info("TensorFlow %s is imported, after %.1f s", tf.__version__, time.monotonic() - began)
