"""TensorFlow's profiler service (--enable_profiler): records for TensorBoard what this process does for some seconds.

Source: xla/tsl/profiler/rpc/profiler_service_impl.cc. It differs in two ways, because anyone who reaches the port can
call it: only this machine may, and the trace is part of the response, from which TensorFlow's client writes it to disk.
The server itself writes no file that a caller names.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from serving.errors import Code, StatusError, invalid_argument
from serving.server.front.listening import is_local
from serving.server.options import ServerOptions
from serving.wire import protos

# All events are kept in memory. Collecting them holds Python's lock for about 30 ms per MB of trace, and a server under
# load produces 2 MB a second: longer sessions would hold up everything else.
_MAX_MILLISECONDS = 2000
_TOOL = "xplane.pb"  # TensorBoard recognizes it by this suffix


class Profiler:
    """The profiler of one process, which runs one session at a time. Use it in the event loop only."""

    def __init__(self) -> None:
        self._session_id: str | None = None
        self._ended = asyncio.Event()

    async def profile(self, request: Any) -> Any:
        """`ProfileRequest` to `ProfileResponse`, after the requested milliseconds or `terminate`.

        Raises:
            StatusError: INVALID_ARGUMENT, the session is too long; UNAVAILABLE, another one runs, or TensorFlow is not
                loaded.
        """
        milliseconds = request.opts.duration_ms or request.duration_ms
        if milliseconds > _MAX_MILLISECONDS:
            words = f"duration_ms is {milliseconds}; expected 0 to {_MAX_MILLISECONDS}"
            raise invalid_argument(words)
        if self._session_id is not None:
            raise StatusError(Code.UNAVAILABLE, "Another profiler session active.")
        if "tensorflow" not in sys.modules:
            raise StatusError(Code.UNAVAILABLE, "There is nothing to profile: TensorFlow is not loaded yet")
        self._session_id, self._ended = request.session_id, asyncio.Event()
        # Shielded, so that the session ends even if its caller leaves.
        collected = await asyncio.shield(asyncio.ensure_future(self._collect(milliseconds / 1000)))
        response = protos.message("tensorflow.ProfileResponse")(empty_trace=not collected)
        if collected:
            response.tool_data.add(name=_TOOL, data=collected)
        return response

    def terminate(self, session_id: str) -> None:
        """Ends the session early, if it is this one."""
        if session_id == self._session_id:
            self._ended.set()

    async def _collect(self, seconds: float) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            session = await loop.run_in_executor(None, _start_session)
            try:
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
            except TimeoutError:
                pass
            return await loop.run_in_executor(None, session.stop)
        finally:
            self._session_id = None


async def check_profiler(options: ServerOptions, peer: str, request: Any) -> None:
    """Checks that a caller may use the service; `peer`: see `is_local`.

    Raises:
        StatusError: UNIMPLEMENTED, it is turned off; PERMISSION_DENIED, the caller is not on this machine.
    """
    if not options.enable_profiler:
        raise StatusError(Code.UNIMPLEMENTED, "Method not found!")
    if not is_local(peer):
        words = f"The profiler is for this machine alone, not for {peer or 'an unknown address'}"
        raise StatusError(Code.PERMISSION_DENIED, words)


def _start_session() -> Any:
    # The only way into the profiler without an output folder: `tf.profiler.experimental` requires one.
    from tensorflow.python.profiler.internal import _pywrap_profiler

    session = _pywrap_profiler.ProfilerSession()
    session.start("", {"python_tracer_level": 0})  # tracing Python would slow it down several times
    return session
