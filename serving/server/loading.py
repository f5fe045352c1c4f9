"""A version's folder becomes a servable that has answered its warm-up requests."""

from __future__ import annotations

from pathlib import Path

from serving.server.options import ServerOptions
from serving.server.servable import Servable
from serving.server.warmup import warm_up

TFLITE_FILE = "model.tflite"


def load(folder: Path, options: ServerOptions) -> Servable:
    """Loads a version and warms it up. It takes its time: in a thread.

    Raises:
        StatusError: it cannot be loaded, or a warm-up request failed.
    """
    # TensorFlow takes seconds to import: only what loads models pays for it.
    if options.prefer_tflite_model and (folder / TFLITE_FILE).is_file():
        from serving.server.tflite import TfliteModel

        servable: Servable = TfliteModel(folder / TFLITE_FILE, options)
    else:
        from serving.server.savedmodel import SavedModel

        servable = SavedModel(folder, options)
    try:
        warm_up(servable, folder, options)
    except BaseException:
        servable.close()
        raise
    return servable
