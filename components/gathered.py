"""Results of a function for many items, computed with Beam and handed back in order: `Gatherer`.

The items are files, and parts of them, so that what passes through Beam is small: names, not rows. Any runner gives the
same results. Beam's in-memory runner has one process; with several cores each of a few forked processes runs one for
its share of the items, because those of Beam's own local workers would first load TensorFlow again.
"""

from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import apache_beam as beam
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import fn_runner as fn_api_runner

from components.beam_errors import encode_error, reraise
from components.tf_examples import whole_file
from models.child_processes import tie_forked
from models.errors import TransomError
from models.runtime import can_fork, usable_cores

PROGRESS_LOG = logging.getLogger("transom.progress")
_POLL_S = 0.5
# The compressed examples that take about as long as another process takes to begin.
_WORTH_BYTES = 4 * 2**20
_workers: int | None = None

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Gatherer:
    """Computes a function for each of some items.

    Attributes:
        temporary: a folder that all workers can write to; results pass through it, not through Beam.
        make_pipeline: makes a pipeline for a runner with workers of its own; None: Beam's in-memory runner, here.
        workers: the number of processes; None: that of `use_workers`.
    """

    temporary: str
    make_pipeline: Callable[[], beam.Pipeline] | None = None
    workers: int | None = None

    def gather(
        self, items: Sequence[_Item], function: Callable[[_Item], _Result], what: str, size: int | None = None
    ) -> Iterator[_Result]:
        """The results for the items, in their order; each is read only when it is asked for.

        Args:
            function: a picklable function; its errors are raised here.
            what: what is done with an item, for the progress: "parts of the tables read".
            size: the bytes of all items' files, where the items may be too small to be worth a process each.

        Raises:
            TransomError: raised by `function`; or a worker was killed.
        """
        folder = os.path.join(self.temporary, f"gathered-{uuid.uuid4().hex}")
        tf.io.gfile.makedirs(folder)
        numbered = list(enumerate(items))
        compute = _Compute(function, folder, len(items), what)
        workers = self.process_count(len(items) if size is None else min(len(items), 1 + size // _WORTH_BYTES))
        if self.make_pipeline is not None:
            _run(numbered, compute, self.make_pipeline)
        elif workers > 1 and can_fork():
            _run_forked([numbered[first::workers] for first in range(workers)], compute)
        else:
            _run(numbered, compute, in_memory_pipeline)
        for number in range(len(items)):
            with tf.io.gfile.GFile(_name(folder, number), "rb") as stream:
                yield pickle.loads(stream.read())

    def process_count(self, items: int) -> int:
        """The number of processes for so many items, without a runner."""
        return min(self.workers or _workers or usable_cores(), items)


def in_memory_pipeline() -> beam.Pipeline:
    """A pipeline for Beam's in-memory runner. Beam's default first tries to download and start another one, Prism."""
    return beam.Pipeline(runner=fn_api_runner.FnApiRunner())


def use_workers(count: int | None) -> None:
    """Sets the number of processes of a step in this process and its forks; None: one per core.

    It is no parameter of a step, because it does not change a result.
    """
    global _workers
    _workers = count


def _name(folder: str, number: int) -> str:
    return os.path.join(folder, f"{number:06d}")


class _Compute(beam.DoFn):
    """(number, items) to a file with the result of the function for the item."""

    def __init__(self, function: Callable[[Any], Any], folder: str, total: int, what: str) -> None:
        self._function, self._folder, self._total, self._what = function, folder, total, what

    def process(self, element: tuple[int, Iterable[Any]]) -> Iterator[None]:
        number, items = element
        for item in items:
            try:
                result = self._function(item)
            except TransomError as error:
                raise encode_error(error) from error
            target = _name(self._folder, number)
            with whole_file(target, os.path.dirname(self._folder)) as path, tf.io.gfile.GFile(path, "wb") as stream:
                stream.write(pickle.dumps(result, pickle.HIGHEST_PROTOCOL))
            self.tell()
        yield from ()

    def tell(self) -> None:
        """Logs how many results there are."""
        done = len(tf.io.gfile.listdir(self._folder))
        if self._total > 1:
            PROGRESS_LOG.info("%d of %d %s", done, self._total, self._what)


def _run(numbered: Sequence[tuple[int, Any]], compute: _Compute, make_pipeline: Callable[[], beam.Pipeline]) -> None:
    with reraise(), make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Items" >> beam.Create(list(numbered), reshuffle=False).with_output_types(tuple[int, Any])
            # Grouping by the number lets runners with many workers work on many items at once.
            | "OnePerItem" >> beam.GroupByKey()
            | "Compute" >> beam.ParDo(compute)
        )


def _run_forked(shares: Sequence[Sequence[tuple[int, Any]]], compute: _Compute) -> None:
    context = multiprocessing.get_context("fork")
    sys.stdout.flush()
    sys.stderr.flush()
    with concurrent.futures.ProcessPoolExecutor(
        len(shares), mp_context=context, initializer=_begin, initargs=(os.getpid(),)
    ) as pool:
        futures = [pool.submit(_run, share, compute, in_memory_pipeline) for share in shares]
        try:
            while any(not future.done() for future in futures):
                concurrent.futures.wait(futures, timeout=_POLL_S, return_when=concurrent.futures.FIRST_EXCEPTION)
                compute.tell()
                for future in futures:
                    if future.done():
                        future.result()
            for future in futures:
                future.result()
        except BrokenProcessPool as error:
            _kill(pool)
            raise TransomError(
                "a worker process was killed",
                got="SIGKILL or a crash; Linux kills a process when memory runs out",
                expected="a worker that ends by itself",
                fix="see `dmesg`; free memory, or set beam.workers: 1, and run again",
            ) from error
        except BaseException:
            _kill(pool)
            raise


def _kill(pool: concurrent.futures.ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.kill()


def _begin(parent: int) -> None:
    """Has a forked worker end with its parent, and leaves Ctrl-C to that."""
    tie_forked(parent)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the pool ends its workers with it
    logging.getLogger("transom.progress").handlers = [logging.NullHandler()]  # the parent tells
