"""One HTTP/2 session of nghttp2: turns bytes into events, and responses into bytes."""

from __future__ import annotations

import ctypes
import functools
import itertools
import logging
import struct
from collections.abc import Callable
from ctypes import string_at
from typing import TYPE_CHECKING, Any

from serving.server.front.http2 import nghttp2
from serving.server.front.http2.nghttp2 import Fields, Nghttp2

if TYPE_CHECKING:
    from serving.server.front.http2.http2_connection import Http2Connection

LOG = logging.getLogger("serving")

_read_head = struct.Struct("=QiBB").unpack_from  # length, stream, type, flags of nghttp2_frame_hd
_HEAD_BYTES = 16
_MAX_OUTBOUND_ACKS = 200
_MAX_SETTINGS_ENTRIES = 32
_RESETS, _RESETS_A_SECOND = 10_000, 1000  # nghttp2's own limit: `Http2Connection.control` enforces a better one
_SCRAP_BYTES = 64  # data frames with fewer, and without END_STREAM, are reported as `control`


class SessionError(Exception):
    """nghttp2 is out of memory, or an event has failed."""


class Http2Session:
    """Use it in the event loop only. `close` it at the end, but never within an event.

    Args:
        settings: values by the numbers of HTTP/2's settings.
        window: the connection's flow-control window in bytes.
    """

    def __init__(self, library: Nghttp2, events: Http2Connection, settings: dict[int, int], window: int) -> None:
        self._library, self._number = library, next(_SESSION_NUMBERS)
        shared = _shared_state(library)
        pointer = ctypes.c_void_p()
        result = library.session_server_new2(ctypes.byref(pointer), shared.callbacks, self._number, shared.options)
        _check(result, "a session")
        self._pointer: int | None = pointer.value
        self._provider = shared.provider
        _EVENTS_BY_NUMBER[self._number] = events
        self._out = ctypes.c_void_p()
        self._out_reference = ctypes.byref(self._out)
        entries = (nghttp2.SettingsEntry * len(settings))(*[nghttp2.SettingsEntry(*each) for each in settings.items()])
        _check(library.submit_settings(self._pointer, 0, entries, len(settings)), "settings")
        _check(library.session_set_local_window_size(self._pointer, 0, 0, window), "a window")

    def receive(self, address: int, length: int) -> bool:
        """Takes bytes. Returns False if they are not HTTP/2 or an event failed: send what is pending, and close."""
        return bool(self._library.session_mem_recv(self._pointer, address, length) == length)

    def send(self) -> bytes:
        """The next frame or frames to send; empty if there are none.

        Raises:
            SessionError: the session is broken.
        """
        length = self._library.session_mem_send(self._pointer, self._out_reference)
        if length > 0:
            return string_at(self._out.value, length)  # type: ignore[arg-type]  # not null
        if length == 0:
            return b""
        raise SessionError(f"nghttp2 cannot send: error {length}")

    def is_finished(self) -> bool:
        """Whether nothing is left to read or write."""
        return not (self._library.session_want_read(self._pointer) or self._library.session_want_write(self._pointer))

    def respond(self, stream: int, fields: Fields, *, body: bool) -> None:
        """Responds with headers, and with the body from `Http2Connection.read` if there is one."""
        provider = self._provider if body else None
        self._library.submit_response(self._pointer, stream, fields.array, fields.count, provider)

    def trailers(self, stream: int, fields: Fields) -> None:
        """Ends a response. Call it in `Http2Connection.read`, which then returns DATA_EOF and DATA_NO_END_STREAM."""
        self._library.submit_trailer(self._pointer, stream, fields.array, fields.count)

    def resume(self, stream: int) -> None:
        """Reports that `Http2Connection.read`, which returned DEFERRED, has more."""
        self._library.session_resume_data(self._pointer, stream)

    def reset(self, stream: int, code: int) -> None:
        """Ends a stream, after what is already pending."""
        self._library.submit_rst_stream(self._pointer, 0, stream, code)

    def ping(self) -> None:
        """Sends a ping."""
        self._library.submit_ping(self._pointer, 0, None)

    def submit_shutdown_notice(self) -> None:
        """Warns that the connection will end soon, so that new streams go elsewhere."""
        self._library.submit_shutdown_notice(self._pointer)

    def goaway(self) -> None:
        """Accepts no more streams; open ones continue."""
        last = self._library.session_get_last_proc_stream_id(self._pointer)
        self._library.submit_goaway(self._pointer, 0, last, nghttp2.NO_ERROR, None, 0)

    def terminate(self, code: int) -> None:
        """Ends all streams with an error code. `is_finished` is true once that has been sent."""
        self._library.session_terminate_session(self._pointer, code)

    def close(self) -> None:
        """Frees the session. No events follow."""
        if self._pointer is not None:
            del _EVENTS_BY_NUMBER[self._number]
            self._library.session_del(self._pointer)
            self._pointer = None


_SESSION_NUMBERS = itertools.count(1)
_EVENTS_BY_NUMBER: dict[int, Http2Connection] = {}
"""By session number, which nghttp2 passes to the callbacks, so that C never holds the address of an object."""


def _guarded(callback: Callable[..., int]) -> Callable[..., int]:
    """Logs exceptions, which cannot cross C, and ends the connection."""

    def guarded(*arguments: Any) -> int:
        try:
            return callback(*arguments)
        except Exception:
            LOG.exception("handling an HTTP/2 event failed; closing its connection")
            return nghttp2.CALLBACK_FAILURE

    return guarded


def _on_begin_headers(session: int, frame: int, number: int) -> int:
    _, stream, _, _ = _read_head(string_at(frame, _HEAD_BYTES))
    _EVENTS_BY_NUMBER[number].headers_begin(stream)
    return 0


def _on_header(
    session: int, frame: int, name: int, name_length: int, value: int, value_length: int, flags: int, number: int
) -> int:
    return _EVENTS_BY_NUMBER[number].header(string_at(name, name_length), string_at(value, value_length))


def _on_frame(session: int, frame: int, number: int) -> int:
    length, stream, kind, flags = _read_head(string_at(frame, _HEAD_BYTES))
    events = _EVENTS_BY_NUMBER[number]
    if kind == nghttp2.DATA:
        if flags & nghttp2.END_STREAM:
            events.data_end(stream)
            return 0
        return events.control(kind, stream) if length < _SCRAP_BYTES else 0
    if kind == nghttp2.HEADERS:
        events.headers_end(stream, bool(flags & nghttp2.END_STREAM))
        return 0
    return events.control(kind, stream)


def _on_data(session: int, flags: int, stream: int, address: int, length: int, number: int) -> int:
    _EVENTS_BY_NUMBER[number].data(stream, address, length)
    return 0


def _on_close(session: int, stream: int, code: int, number: int) -> int:
    events = _EVENTS_BY_NUMBER.get(number)
    if events is not None:  # None in `session_del`: it closes no streams, but this is not documented
        events.closed(stream, code)
    return 0


def _read(session: int, stream: int, address: int, length: int, flags: Any, source: int, number: int) -> int:
    count, marks = _EVENTS_BY_NUMBER[number].read(stream, address, length)
    flags[0] = marks
    return count


class _SharedState:
    """Callbacks and options of all sessions, kept for the life of the process."""

    def __init__(self, library: Nghttp2) -> None:
        callbacks, options = ctypes.c_void_p(), ctypes.c_void_p()
        _check(library.session_callbacks_new(ctypes.byref(callbacks)), "callbacks")
        _check(library.option_new(ctypes.byref(options)), "options")
        self.callbacks, self.options = callbacks, options
        self._kept: list[Any] = []
        for name, kind, callback in (
            ("on_begin_headers", nghttp2.OnFrame, _on_begin_headers),
            ("on_header", nghttp2.OnHeader, _on_header),
            ("on_frame_recv", nghttp2.OnFrame, _on_frame),
            ("on_data_chunk_recv", nghttp2.OnData, _on_data),
            ("on_stream_close", nghttp2.OnClose, _on_close),
        ):
            self._kept.append(kind(_guarded(callback)))
            getattr(library, f"session_callbacks_set_{name}_callback")(callbacks, self._kept[-1])
        self._kept.append(nghttp2.ReadData(_guarded(_read)))
        self.provider = ctypes.byref(nghttp2.DataProvider(None, ctypes.cast(self._kept[-1], ctypes.c_void_p)))
        library.option_set_no_closed_streams(options, 1)
        library.option_set_max_outbound_ack(options, _MAX_OUTBOUND_ACKS)
        if library.option_set_stream_reset_rate_limit is not None:
            library.option_set_stream_reset_rate_limit(options, _RESETS, _RESETS_A_SECOND)
        library.option_set_max_settings(options, _MAX_SETTINGS_ENTRIES)


_shared_state = functools.cache(_SharedState)


def _check(result: int, what: str) -> None:
    if result:
        raise SessionError(f"nghttp2 cannot create {what}: error {result}")
