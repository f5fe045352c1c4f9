"""Results of a function for many items, computed with Beam and handed back in order: `gather`."""

from __future__ import annotations

import os
import pickle
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import apache_beam as beam
import tensorflow as tf

from components.beam_errors import encode_error, reraise
from models.errors import TransomError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def gather(
    make_pipeline: Callable[[], beam.Pipeline],
    items: Sequence[_Item],
    function: Callable[[_Item], _Result],
    temporary: str,
) -> Iterator[_Result]:
    """The results for the items, in their order; each is read only when it is asked for.

    Args:
        make_pipeline: the executor's `_make_beam_pipeline`.
        function: a picklable function; its errors are raised here.
        temporary: a folder that all workers can write to; results pass through it, not through Beam.

    Raises:
        TransomError: raised by `function`.
    """
    folder = os.path.join(temporary, f"gathered-{uuid.uuid4().hex}")
    tf.io.gfile.makedirs(folder)
    with reraise(), make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Items" >> beam.Create(list(enumerate(items)), reshuffle=False).with_output_types(tuple[int, Any])
            # Grouping by the number lets runners with many workers work on many items at once.
            | "OnePerItem" >> beam.GroupByKey()
            | "Compute" >> beam.ParDo(_Compute(function, folder))
        )
    for number in range(len(items)):
        with tf.io.gfile.GFile(_name(folder, number), "rb") as stream:
            yield pickle.loads(stream.read())


def _name(folder: str, number: int) -> str:
    return os.path.join(folder, f"{number:06d}")


class _Compute(beam.DoFn):
    def __init__(self, function: Callable[[Any], Any], folder: str) -> None:
        self._function, self._folder = function, folder

    def process(self, element: tuple[int, Iterable[Any]]) -> Iterator[None]:
        number, items = element
        for item in items:
            try:
                result = self._function(item)
            except TransomError as error:
                raise encode_error(error) from error
            # A runner may try an item twice, at the same time even.
            written = f"{_name(self._folder, number)}-{uuid.uuid4().hex}"
            with tf.io.gfile.GFile(written, "wb") as stream:
                stream.write(pickle.dumps(result, pickle.HIGHEST_PROTOCOL))
            tf.io.gfile.rename(written, _name(self._folder, number), overwrite=True)
        yield from ()
