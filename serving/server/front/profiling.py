"""TensorFlow's profiler service (--enable_profiler): what this process does for some seconds, for TensorBoard.

Source: xla/tsl/profiler/rpc/profiler_service_impl.cc. It differs in two things, because whoever reaches the port can
call it: only this machine may, and the trace goes into the answer, from which TensorFlow's client writes it down; the
server itself writes no file that a caller names.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from serving.errors import Code, StatusError
from serving.server.calls.client_address import Caller
from serving.server.options import ServerOptions
from serving.wire import protos

# All events are kept in memory, and when they are collected Python's lock is held for about 30 ms a MB of trace, which
# is 2 MB a second under load: longer sessions would hold up everything else.
_MOST_MS = 2000
_TOOL = "xplane.pb"  # by this ending TensorBoard knows what it is


class Profiler:
    """The profiler of one process, which runs one session at a time. It belongs to the event loop."""

    def __init__(self) -> None:
        self._session_id: str | None = None
        self._ended = asyncio.Event()

    async def profile(self, request: Any) -> Any:
        """`ProfileRequest` to `ProfileResponse`, after as many milliseconds as were asked for, or `terminate`.

        Raises:
            StatusError: INVALID_ARGUMENT, too long; UNAVAILABLE, another session runs, or TensorFlow is not loaded.
        """
        milliseconds = request.opts.duration_ms or request.duration_ms
        if milliseconds > _MOST_MS:
            words = f"duration_ms is {milliseconds}; expected 0 to {_MOST_MS}"
            raise StatusError(Code.INVALID_ARGUMENT, words)
        if self._session_id is not None:
            raise StatusError(Code.UNAVAILABLE, "Another profiler session active.")
        if "tensorflow" not in sys.modules:
            raise StatusError(Code.UNAVAILABLE, "There is nothing to profile: TensorFlow is not loaded yet")
        self._session_id, self._ended = request.session_id, asyncio.Event()
        # A caller that goes away must not leave a session behind: it is ended in any case.
        collected = await asyncio.shield(asyncio.ensure_future(self._collect(milliseconds / 1000)))
        response = protos.message("tensorflow.ProfileResponse")(empty_trace=not collected)
        if collected:
            response.tool_data.add(name=_TOOL, data=collected)
        return response

    def terminate(self, session_id: str) -> None:
        """Ends a session early."""
        if session_id == self._session_id:
            self._ended.set()

    async def _collect(self, seconds: float) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            session = await loop.run_in_executor(None, _started)
            try:
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
            except TimeoutError:
                pass
            return await loop.run_in_executor(None, session.stop)
        finally:
            self._session_id = None


async def check_profiler(options: ServerOptions, caller: Caller, request: Any) -> None:
    """Whether a caller may use the service.

    Raises:
        StatusError: UNIMPLEMENTED, it is off; PERMISSION_DENIED, the caller is not on this machine.
    """
    if not options.enable_profiler:
        raise StatusError(Code.UNIMPLEMENTED, "Method not found!")
    if not caller.is_local:
        words = f"The profiler is for this machine alone, not for {caller.peer or 'an unknown address'}"
        raise StatusError(Code.PERMISSION_DENIED, words)


def _started() -> Any:
    # TensorFlow's own way into the profiler without a folder to write to: `tf.profiler.experimental` demands one.
    from tensorflow.python.profiler.internal import _pywrap_profiler

    session = _pywrap_profiler.ProfilerSession()
    session.start("", {"python_tracer_level": 0})  # tracing Python would make it several times slower
    return session
