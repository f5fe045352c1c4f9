"""One HTTP/2 session of nghttp2: bytes go in, events come out; answers go in, bytes come out."""

from __future__ import annotations

import ctypes
import itertools
import logging
import struct
from collections.abc import Callable
from ctypes import string_at
from typing import Any, Protocol

from serving.server.front.http2 import nghttp2
from serving.server.front.http2.nghttp2 import Fields, Nghttp2

LOG = logging.getLogger("serving")

_read_head = struct.Struct("=QiBB").unpack_from  # length, stream, type, flags of nghttp2_frame_hd
_HEAD_BYTES = 16
_MAX_OUTBOUND_ACKS = 200
_MAX_SETTINGS_ENTRIES = 32
_RESETS, _RESETS_A_SECOND = 10_000, 1000  # nghttp2's own limit: `Events.control` has a better one
_SCRAP_BYTES = 64  # frames of data with fewer that do not end a stream are told as frames of another kind


class SessionError(Exception):
    """nghttp2 has no memory, or an event has failed."""


class Events(Protocol):
    """What a session tells, while it receives or sends. An event must not end the session."""

    def headers_begin(self, stream: int) -> None:
        """The headers of a new or known stream begin."""

    def header(self, name: bytes, value: bytes) -> int:
        """One of them; 0, or an error of nghttp2's."""

    def headers_end(self, stream: int, last: bool) -> None:
        """They are complete; `last`: nothing follows."""

    def data(self, stream: int, address: int, length: int) -> None:
        """A part of a body, valid during the call."""

    def data_end(self, stream: int) -> None:
        """The body is complete."""

    def control(self, kind: int, stream: int) -> int:
        """A frame of another kind, or one of data that hardly has any; 0, or an error of nghttp2's."""

    def read(self, stream: int, address: int, length: int) -> tuple[int, int]:
        """Writes at most so many bytes of the answer to the address; how many, or DEFERRED, and DATA_ flags."""

    def closed(self, stream: int, code: int) -> None:
        """The stream has ended, for whatever reason."""


class Session:
    """Belongs to the event loop. `close` it at the end, but never within an event.

    Args:
        library: nghttp2.
        events: who is told.
        settings: numbers of HTTP/2's settings to their values.
        window: bytes of the connection that may be on their way.
    """

    def __init__(self, library: Nghttp2, events: Events, settings: dict[int, int], window: int) -> None:
        self._library, self._number = library, next(_NUMBERS)
        made = _made(library)
        pointer = ctypes.c_void_p()
        _check(
            library.session_server_new2(ctypes.byref(pointer), made.callbacks, self._number, made.options), "a session"
        )
        self._pointer: int | None = pointer.value
        _EVENTS[self._number] = events
        self._out = ctypes.c_void_p()
        self._out_reference = ctypes.byref(self._out)
        entries = (nghttp2.Setting * len(settings))(*[nghttp2.Setting(*each) for each in settings.items()])
        _check(library.submit_settings(self._pointer, 0, entries, len(settings)), "settings")
        _check(library.session_set_local_window_size(self._pointer, 0, 0, window), "a window")

    def receive(self, address: int, length: int) -> bool:
        """Takes what came. False: it is no HTTP/2, or an event refused it; send what is to be sent, and close."""
        return bool(self._library.session_mem_recv(self._pointer, address, length) == length)

    def send(self) -> bytes:
        """The next frame or frames to be sent, nothing where there is none.

        Raises:
            SessionError: the session is broken.
        """
        length = self._library.session_mem_send(self._pointer, self._out_reference)
        if length > 0:
            return string_at(self._out.value, length)  # type: ignore[arg-type]  # not null
        if length == 0:
            return b""
        raise SessionError(f"nghttp2 cannot send: error {length}")

    def over(self) -> bool:
        """Whether nothing is to be read or written any more."""
        return not (self._library.session_want_read(self._pointer) or self._library.session_want_write(self._pointer))

    def respond(self, stream: int, fields: Fields, *, body: bool) -> None:
        """Answers with headers, and with what `Events.read` gives or nothing more."""
        provider = _made(self._library).provider if body else None
        self._library.submit_response(self._pointer, stream, fields.array, fields.count, provider)

    def trailers(self, stream: int, fields: Fields) -> None:
        """Ends an answer; to be called from `Events.read`, which then says DATA_EOF and DATA_NO_END_STREAM."""
        self._library.submit_trailer(self._pointer, stream, fields.array, fields.count)

    def resume(self, stream: int) -> None:
        """`Events.read`, which had said DEFERRED, has more."""
        self._library.session_resume_data(self._pointer, stream)

    def reset(self, stream: int, code: int) -> None:
        """Ends a stream, after what is to be sent already."""
        self._library.submit_rst_stream(self._pointer, 0, stream, code)

    def ping(self) -> None:
        """Asks for a sign of life."""
        self._library.submit_ping(self._pointer, 0, None)

    def warn(self) -> None:
        """Says that the connection will end soon, and that new streams had better go elsewhere."""
        self._library.submit_shutdown_notice(self._pointer)

    def goaway(self) -> None:
        """Takes no more streams; those that are there go on."""
        last = self._library.session_get_last_proc_stream_id(self._pointer)
        self._library.submit_goaway(self._pointer, 0, last, nghttp2.NO_ERROR, None, 0)

    def terminate(self, code: int) -> None:
        """Says why, and ends all streams: `over` is true once that has been sent."""
        self._library.session_terminate_session(self._pointer, code)

    def close(self) -> None:
        """Frees it. No event comes any more."""
        if self._pointer is not None:
            del _EVENTS[self._number]
            self._library.session_del(self._pointer)
            self._pointer = None


_NUMBERS = itertools.count(1)
_EVENTS: dict[int, Events] = {}
"""By the sessions' numbers, which nghttp2 hands to the callbacks: no object's address is ever in C's hands."""


def _guarded(callback: Callable[..., int]) -> Callable[..., int]:
    """An exception cannot cross C: it is logged, and the connection ends."""

    def guarded(*arguments: Any) -> int:
        try:
            return callback(*arguments)
        except Exception:
            LOG.exception("an event of HTTP/2 failed; its connection ends")
            return nghttp2.CALLBACK_FAILURE

    return guarded


def _on_begin_headers(session: int, frame: int, number: int) -> int:
    _, stream, _, _ = _read_head(string_at(frame, _HEAD_BYTES))
    _EVENTS[number].headers_begin(stream)
    return 0


def _on_header(
    session: int, frame: int, name: int, name_length: int, value: int, value_length: int, flags: int, number: int
) -> int:
    return _EVENTS[number].header(string_at(name, name_length), string_at(value, value_length))


def _on_frame(session: int, frame: int, number: int) -> int:
    length, stream, kind, flags = _read_head(string_at(frame, _HEAD_BYTES))
    events = _EVENTS[number]
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
    _EVENTS[number].data(stream, address, length)
    return 0


def _on_close(session: int, stream: int, code: int, number: int) -> int:
    events = _EVENTS.get(number)
    if events is not None:  # `session_del` closes no streams, but says so nowhere
        events.closed(stream, code)
    return 0


def _read(session: int, stream: int, address: int, length: int, flags: Any, source: int, number: int) -> int:
    count, marks = _EVENTS[number].read(stream, address, length)
    flags[0] = marks
    return count


class _Made:
    """What all sessions share, and what nghttp2 calls: as long as the process lives."""

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


_MADE: list[_Made] = []


def _made(library: Nghttp2) -> _Made:
    if not _MADE:
        _MADE.append(_Made(library))
    return _MADE[0]


def _check(result: int, what: str) -> None:
    if result:
        raise SessionError(f"nghttp2 cannot make {what}: error {result}")
