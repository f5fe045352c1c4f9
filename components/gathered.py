"""Results of a function for many items, computed with Beam and handed back in order: `Gatherer`.

The items are files, and parts of them, so that what passes through Beam is small: names, not rows. Any runner gives the
same results. Beam's in-memory runner has one process; with several cores each of a few forked processes runs one for
its share of the items, because those of Beam's own local workers would first load TensorFlow again.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import apache_beam as beam
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import fn_runner as fn_api_runner

from components.row_progress import RowProgress, count_as, finish_file, row_progress
from components.tf_examples import whole_file
from models.child_processes import tie_forked
from models.errors import TransomError, temporary_cause
from models.runtime import can_fork, usable_cores

PROGRESS_LOG = logging.getLogger("transom.progress")
_POLL_S, _TELL_S = 0.5, 5.0
_FAILED = "-failed"
# The bytes of files, mostly compressed examples, that take about as long as another process takes to begin.
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
        self,
        items: Sequence[_Item],
        function: Callable[[_Item], _Result],
        sizes: Sequence[int],
        rows: int | None = None,
        what: str = "",
    ) -> Iterator[_Result]:
        """The results for the items, in their order; each is read only when it is asked for.

        Args:
            function: a picklable function; its errors are raised here. It counts its rows, see `row_progress`.
            sizes: the bytes of each item.
            rows: the number of all items' rows, if it is known.
            what: what is done with the rows, for the progress, where the step's name does not tell: "compared".

        Raises:
            TransomError: raised by `function`; or a worker was killed.
        """
        folder = os.path.join(self.temporary, f"gathered-{uuid.uuid4().hex}")
        tf.io.gfile.makedirs(folder)
        numbered = [(number, (item, size)) for number, (item, size) in enumerate(zip(items, sizes, strict=True))]
        compute = _Compute(function, folder, is_retried=self.make_pipeline is not None)
        workers = self.process_count(min(len(items), 1 + sum(sizes) // _WORTH_BYTES))
        with row_progress(RowProgress(rows, sum(sizes), workers, what)) as progress:
            if self.make_pipeline is not None:
                note = partial(_files_done, folder, len(items), what)
                with _telling(note), _explained():
                    _run(numbered, compute, self.make_pipeline)
            elif workers > 1 and can_fork():
                _run_forked([numbered[first::workers] for first in range(workers)], compute, progress)
            else:
                _run(numbered, compute, in_memory_pipeline)
        first = _first_failed(folder)
        if first is not None:
            error, cause = _load(_name(folder, first, _FAILED))
            raise error from (cause and OSError(*cause))
        for number in range(len(items)):
            yield _load(_name(folder, number))

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


class _Compute(beam.DoFn):
    """(number, items with their sizes) to a file with the result of the function for the item, or with its error.

    Beam would pass on an error only as text, and the runners of a cluster would first try the item three times more:
    that is left to them only where it may help.
    """

    def __init__(self, function: Callable[[Any], Any], folder: str, is_retried: bool) -> None:
        self._function, self._folder, self._is_retried = function, folder, is_retried

    def process(self, element: tuple[int, Iterable[tuple[Any, int]]]) -> Iterator[None]:
        number, items = element
        for item, size in items:
            if number > min(_failed(self._folder), default=number):
                return
            try:
                self._store(_name(self._folder, number), self._function(item))
            except TransomError as error:
                temporary = temporary_cause(error)
                if temporary is not None and self._is_retried:
                    raise
                # An exception's causes are not pickled with it.
                cause = None if temporary is None else (temporary.errno, temporary.strerror)
                self._store(_name(self._folder, number, _FAILED), (error, cause))
            finish_file(size)
        yield from ()

    def has_failed(self) -> bool:
        """Whether nothing that is still computed can change which error is raised."""
        return _first_failed(self._folder) is not None

    def _store(self, target: str, content: Any) -> None:
        with whole_file(target, os.path.dirname(self._folder)) as path, tf.io.gfile.GFile(path, "wb") as stream:
            stream.write(pickle.dumps(content, pickle.HIGHEST_PROTOCOL))


def _name(folder: str, number: int, ending: str = "") -> str:
    return os.path.join(folder, f"{number:06d}{ending}")


def _load(path: str) -> Any:
    with tf.io.gfile.GFile(path, "rb") as stream:
        return pickle.loads(stream.read())


def _failed(folder: str) -> list[int]:
    """The items with an error, so far."""
    return [int(name.removesuffix(_FAILED)) for name in tf.io.gfile.listdir(folder) if name.endswith(_FAILED)]


def _first_failed(folder: str) -> int | None:
    """The first item with an error, once all before it are done: which error is raised must not depend on time."""
    first = min(_failed(folder), default=None)
    if first is None or any(not tf.io.gfile.exists(_name(folder, number)) for number in range(first)):
        return None
    return first


def _files_done(folder: str, total: int, what: str) -> str:
    return f"{len(tf.io.gfile.listdir(folder))} of {total} files {what}".rstrip()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turns an error of a runner elsewhere into one that says where to look: the causes are in other programs."""
    try:
        yield
    except TransomError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise TransomError(
            "Beam's runner failed",
            got=f"{type(error).__name__}: {lines[0][:300]}",
            expected="a runner that reaches its workers, and workers that have this version of Transom",
            fix="read the run's log and the runner's; docs/data-path.md says what each runner needs",
        ) from error


@contextlib.contextmanager
def _telling(note: Callable[[], str]) -> Iterator[None]:
    """Logs a note every few seconds in the block: what workers elsewhere have done shows only in the folder."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_TELL_S):
            with contextlib.suppress(OSError, tf.errors.OpError):  # the next try may succeed
                PROGRESS_LOG.info("%s", note())

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run(numbered: Sequence[tuple[int, Any]], compute: _Compute, make_pipeline: Callable[[], beam.Pipeline]) -> None:
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Items" >> beam.Create(list(numbered), reshuffle=False).with_output_types(tuple[int, Any])
            # Grouping by the number lets runners with many workers work on many items at once.
            | "OnePerItem" >> beam.GroupByKey()
            | "Compute" >> beam.ParDo(compute)
        )


def _run_share(place: int, numbered: Sequence[tuple[int, Any]], compute: _Compute) -> None:
    count_as(place)
    _run(numbered, compute, in_memory_pipeline)


def _run_forked(shares: Sequence[Sequence[tuple[int, Any]]], compute: _Compute, progress: RowProgress) -> None:
    context = multiprocessing.get_context("fork")
    sys.stdout.flush()
    sys.stderr.flush()
    with concurrent.futures.ProcessPoolExecutor(
        len(shares), mp_context=context, initializer=_begin, initargs=(os.getpid(),)
    ) as pool:
        futures = [pool.submit(_run_share, place, share, compute) for place, share in enumerate(shares)]
        try:
            while any(not future.done() for future in futures):
                concurrent.futures.wait(futures, timeout=_POLL_S, return_when=concurrent.futures.FIRST_EXCEPTION)
                progress.tell()
                for future in futures:
                    if future.done():
                        future.result()
                if compute.has_failed():
                    _kill(pool)
                    return
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
