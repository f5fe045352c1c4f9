"""A SavedModel as a servable, in a TensorFlow 1 session, as in TF Serving.

A session avoids Python's eager layer: through the binding that `Session.run` calls, a run of a graph of one operation
takes 12 µs of CPU instead of 73, and 6 if the graph runs in the calling thread.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

# `tf.compat.v1.saved_model.load` calls this, with a deprecation notice at every load.
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from serving.errors import Code, StatusError, invalid_argument
from serving.server.calls.servable import ModelSignature
from serving.server.models.text_op_library import register_text_ops
from serving.server.options import ServerOptions
from serving.server.run.executor import cores
from serving.server.run.extra_threads import MAX_EXTRA_THREADS
from serving.server.run.feed_sizes import Feeds, is_large
from serving.server.run.graph_loops import unbounded_outputs
from serving.server.run.run_time_limit import RunLimitError, limit_comes_first
from serving.wire.protos import SignatureDef

_CODES = {code.number: code for code in Code}
_MAX_MESSAGE = 2**13  # of a message, which may quote a whole request; gRPC carries no more
_MISSING_OP = re.compile(r"Op type not registered '([^']+)'")
_IN_CALLING_THREAD = -1
_POOLS = ("transom_small", "transom_large")
"""TensorFlow's thread pools for runs with a timeout: small runs need not wait for large ones."""

_POOLS_OF_LOOPS = ("transom_small_loops", "transom_large_loops")
"""The same for unbounded runs."""

_AMPLE = 20
"""A run of a graph without loops gets no timeout if its deadline is this many times the longest recent run away: it
will end long before, and a timeout costs 10 µs of CPU, 70 in a busy process."""

_LONGEST_TIMEOUT = 1e6
"""In seconds; a client may send any number."""

_FORGETTING = 0.99
"""Decay of the longest run's time with each run."""

SessionRun = Callable[..., list[np.ndarray]]


class SavedModel:
    """A `Servable`.

    Args:
        folder: the version's folder.
        options: tags, session configuration and threads.

    Raises:
        StatusError: it cannot be loaded; NOT_FOUND, the folder holds no model or an operation is missing.
    """

    def __init__(self, folder: Path, options: ServerOptions) -> None:
        if not any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
            raise StatusError(
                Code.NOT_FOUND,
                f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}. "
                "Check that the directory exists and that you have the right permissions for accessing it.",
            )
        self._session, meta_graph, self._unbounded = _load(folder, options)
        self.signatures: Mapping[str, ModelSignature] = {
            name: ModelSignature(SignatureDef.FromString(definition.SerializeToString()))
            for name, definition in meta_graph.signature_def.items()
        }
        self._run = direct_run(self._session) or session_run(self._session)
        self._max_seconds = options.max_run_seconds
        self._own_pools = options.session_config is None or not options.session_config.session_inter_op_thread_pool
        self._longest = [0.0, 0.0]  # of small and of large runs

    def is_unbounded(self, fetches: Sequence[str]) -> bool:
        return not self._unbounded.isdisjoint(fetches)

    def run(self, feeds: Feeds, fetches: Sequence[str], timeout: float | None) -> list[np.ndarray]:
        large = int(is_large(feeds))
        if self._unbounded and self.is_unbounded(fetches):
            return self._run_unbounded(feeds, fetches, timeout, large)
        guarded = timeout is not None and not 0 < self._longest[large] < timeout / _AMPLE
        started = time.perf_counter()
        try:
            return self._run_within(timeout if guarded else None, feeds, fetches, large)
        finally:
            self._longest[large] = max(time.perf_counter() - started, self._longest[large] * _FORGETTING)

    def _run_unbounded(
        self, feeds: Feeds, fetches: Sequence[str], timeout: float | None, large: int
    ) -> list[np.ndarray]:
        """Ends the run at its deadline or at the server's limit, even if the caller has left: TensorFlow's sessions
        have no other way to end a single run."""
        limit_first = limit_comes_first(timeout, self._max_seconds)
        try:
            return self._run_within(self._max_seconds if limit_first else timeout, feeds, fetches, len(_POOLS) + large)
        except StatusError as error:
            if limit_first and error.code is Code.DEADLINE_EXCEEDED:
                raise RunLimitError("The run took", self._max_seconds) from error
            raise

    def _run_within(self, seconds: float | None, feeds: Feeds, fetches: Sequence[str], pool: int) -> list[np.ndarray]:
        """Runs in one of Transom's pools, without a timeout if `seconds` is None."""
        milliseconds = 0 if seconds is None else max(1, round(min(seconds, _LONGEST_TIMEOUT) * 1000))
        try:
            return self._run(feeds, fetches, milliseconds, pool if self._own_pools else 0)
        except tf.errors.OpError as error:
            raise status_of(error) from error
        except UnicodeDecodeError as error:  # the message quotes bytes of the request; the code is lost
            quoted = error.object[:_MAX_MESSAGE].decode("utf-8", "replace")
            raise invalid_argument(quoted) from None

    def close(self) -> None:
        self._session.close()


def status_of(error: tf.errors.OpError) -> StatusError:
    """TensorFlow's error as a `StatusError`, without the notes that TensorFlow's Python layer adds."""
    code = _CODES.get(error.error_code, Code.UNKNOWN)
    return StatusError(code, str(error.message)[:_MAX_MESSAGE].split("\n\nOriginal stack trace")[0])


def direct_run(session: Any) -> SessionRun | None:
    """Runs through the binding that `Session.run` calls; None if this TensorFlow has a different one.

    With a timeout the graph runs in TensorFlow's threads, because a run in the calling thread cannot be stopped.
    Without one (0 milliseconds) it runs in the calling thread, which is cheaper: branches of the graph then run one
    after the other, and requests in parallel.
    """
    # Private API: without it the server is only slower; test_savedmodel.py fails when it is gone.
    try:
        from tensorflow.python.client import pywrap_tf_session as binding

        run, handle = binding.TF_SessionRun_wrapper, session._session
        new_options, free_options = binding.TF_NewBufferFromString, binding.TF_DeleteBuffer
        tensor = _tensors_by_name(session.graph)
        if not all(hasattr(output, "_as_tf_output") for output in _first_outputs(session.graph)):
            return None
        unguarded = _options_in_calling_thread(new_options)
    except (ImportError, AttributeError):
        return None

    def run_directly(feeds: Feeds, fetches: Sequence[str], milliseconds: int, pool: int = 0) -> list[np.ndarray]:
        fed = {tensor(name): array for name, array in feeds.items()}
        fetched = [tensor(name) for name in fetches]
        if not milliseconds:
            return _arrays(run(handle, unguarded, fed, fetched, [], None))
        guarded = tf.compat.v1.RunOptions(timeout_in_ms=milliseconds, inter_op_thread_pool=pool)
        options = new_options(guarded.SerializeToString())
        try:
            return _arrays(run(handle, options, fed, fetched, [], None))
        finally:
            free_options(options)

    return run_directly


@functools.cache
def _options_in_calling_thread(new_options: Callable[[bytes], Any]) -> Any:
    """Cached: the buffer is TensorFlow's memory, which Python does not free."""
    return new_options(tf.compat.v1.RunOptions(inter_op_thread_pool=_IN_CALLING_THREAD).SerializeToString())


def session_run(session: Any) -> SessionRun:
    """Runs through TensorFlow's public interface."""

    def run_publicly(feeds: Feeds, fetches: Sequence[str], milliseconds: int, pool: int = 0) -> list[np.ndarray]:
        options = tf.compat.v1.RunOptions(inter_op_thread_pool=pool)
        options.timeout_in_ms = milliseconds
        return _arrays(session.run(list(fetches), dict(feeds), options=options))

    return run_publicly


def _arrays(fetched: Sequence[Any]) -> list[np.ndarray]:
    """Sessions return scalars as Python objects."""
    return [
        one if isinstance(one, np.ndarray) else np.array(one, object if type(one) is bytes else None) for one in fetched
    ]


def _first_outputs(graph: Any) -> Sequence[Any]:
    return next((operation.outputs for operation in graph.get_operations() if operation.outputs), [])


def _tensors_by_name(graph: Any) -> Callable[[str], Any]:
    known: dict[str, Any] = {}

    def tensor(name: str) -> Any:
        found = known.get(name)
        if found is None:
            try:
                found = known[name] = graph.get_tensor_by_name(name)._as_tf_output()
            except (ValueError, KeyError) as error:  # an operation without outputs, such as __saved_model_init_op
                raise invalid_argument(
                    f"Tried to fetch data for '{name}:0', which produces no output.  To run to a node but not fetch "
                    f"any data, pass '{name}:0' as an argument to the 'target_node_names' argument of the "
                    "Session::Run API."
                ) from error
        return found

    return tensor


_UNLOADABLE = (tf.errors.OpError, ValueError, RuntimeError, OSError)


def _load(folder: Path, options: ServerOptions) -> tuple[Any, Any, frozenset[str]]:
    """The session, the `MetaGraphDef`, and the unbounded outputs of its signatures."""
    try:
        return _load_once(folder, options)
    except _UNLOADABLE as error:
        if not _MISSING_OP.search(str(error)) or not register_text_ops():
            raise _load_error(error, folder, options) from error
    try:
        return _load_once(folder, options)
    except _UNLOADABLE as error:
        raise _load_error(error, folder, options) from error


def _load_once(folder: Path, options: ServerOptions) -> tuple[Any, Any, frozenset[str]]:
    loader, tags = SavedModelLoader(str(folder)), list(options.saved_model_tags)
    meta_graph = loader.get_meta_graph_def_from_tags(tags)
    outputs = [info.name for one in meta_graph.signature_def.values() for info in one.outputs.values()]
    endless = unbounded_outputs(meta_graph.graph_def, outputs)
    session = tf.compat.v1.Session(graph=tf.Graph(), config=session_config(options, loops=bool(endless)))
    try:
        return session, loader.load(session, tags), endless
    except BaseException:
        session.close()
        raise


def _load_error(error: Exception, folder: Path, options: ServerOptions) -> StatusError:
    """The error that TensorFlow's C++ loader, which TF Serving calls, would return."""
    missing = _MISSING_OP.search(str(error))
    if missing:
        return StatusError(
            Code.NOT_FOUND,
            f"Op type not registered '{missing[1]}' in binary running on this server. Make sure the Op and Kernel are "
            f"registered in the binary running in this process. The model in {folder} needs a library of operations "
            "that is not here.",
        )
    if isinstance(error, tf.errors.OpError):
        return status_of(error)
    if isinstance(error, RuntimeError) and "MetaGraphDef" in str(error):
        tags = " ".join(options.saved_model_tags)
        return StatusError(
            Code.NOT_FOUND,
            f"Could not find meta graph def matching supplied tags: {{ {tags} }}. To inspect available tag-sets in "
            "the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
        )
    if isinstance(error, OSError) and "Cannot parse file" in str(error):
        return StatusError(Code.DATA_LOSS, f"Can't parse {folder / 'saved_model.pb'} as binary proto")
    return invalid_argument(f"the SavedModel in {folder} cannot be loaded: {error}")


def session_config(options: ServerOptions, loops: bool = False) -> Any:
    """The `ConfigProto` (TensorFlow's class) of a session; with several workers, one thread each by default.

    `loops`: whether some of its runs are unbounded.
    """
    config = tf.compat.v1.ConfigProto()
    if options.session_config is not None:
        config.MergeFromString(options.session_config.SerializeToString())
    own_threads = 1 if options.workers > 1 else 0
    for name in ("intra_op_parallelism_threads", "inter_op_parallelism_threads"):
        threads = getattr(options, name.removesuffix("_threads"))
        if threads or (own_threads and not getattr(config, name)):
            setattr(config, name, threads or own_threads)
    if not config.session_inter_op_thread_pool:
        threads = config.inter_op_parallelism_threads
        sizes = dict.fromkeys(_POOLS + (_POOLS_OF_LOOPS if loops else ()), threads)
        if loops:
            sizes[_POOLS_OF_LOOPS[0]] = (threads or cores()) + MAX_EXTRA_THREADS  # or extra threads would wait there
        for name, size in sizes.items():  # shared by all sessions; TensorFlow rejects one name with two sizes
            config.session_inter_op_thread_pool.add(num_threads=size, global_name=f"{name}_{size}")
    return config
