"""What a training tells while it runs (TensorBoard) and afterwards (the report)."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf


class Board:
    """TensorBoard event files: `train` by optimizer step, `eval` by epoch; silent without a folder."""

    def __init__(self, directory: Path | str | None) -> None:
        self._writers = {
            name: tf.summary.create_file_writer(str(Path(directory, name)))
            if directory is not None
            else tf.summary.create_noop_writer()
            for name in ("train", "eval")
        }

    def write(self, split: str, values: Mapping[str, float], step: int) -> None:
        """Writes one point of each curve."""
        with self._writers[split].as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)

    def flush(self) -> None:
        """Puts on disk what was written."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Flushes and closes the files."""
        for writer in self._writers.values():
            writer.close()


def peak_memory_mb() -> float:
    """Most main memory that this process has held, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def peak_device_memory_mb() -> dict[str, float]:
    """Most memory that TensorFlow has held on each GPU, in MB."""
    gpus = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")]
    return {gpu: tf.config.experimental.get_memory_info(gpu)["peak"] / 1e6 for gpu in gpus}
