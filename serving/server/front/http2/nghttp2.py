"""The C functions and structures of nghttp2 that a server needs (nghttp2/nghttp2.h, ABI of libnghttp2.so.14)."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from collections.abc import Iterator, Sequence
from ctypes import POINTER, c_char_p, c_int, c_int32, c_size_t, c_ssize_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any

_NAMES = ("libnghttp2.so.14", "libnghttp2.14.dylib", "nghttp2.dll")
_OLDEST = 0x012900  # 1.41

DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4  # frame types
END_STREAM = 1  # a frame flag
NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 7, 8, 11  # error codes on the wire
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE = 3, 4, 6  # settings
DEFERRED, CALLBACK_FAILURE = -508, -902  # callback results
DATA_EOF, DATA_NO_END_STREAM = 1, 2  # flags of data to send

_NO_COPY = 2 | 4


class HeaderField(ctypes.Structure):
    """nghttp2_nv."""

    _fields_ = (
        ("name", c_char_p),
        ("value", c_char_p),
        ("name_length", c_size_t),
        ("value_length", c_size_t),
        ("flags", c_uint8),
    )


class SettingsEntry(ctypes.Structure):
    """nghttp2_settings_entry."""

    _fields_ = (("id", c_int32), ("value", c_uint32))


class DataProvider(ctypes.Structure):
    """nghttp2_data_provider."""

    _fields_ = (("source", c_void_p), ("read", c_void_p))


# Callbacks run with Python's lock held, as the functions do. Pointers arrive as integers, None where they are null; the
# last argument is the session's number.
OnFrame = ctypes.PYFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
OnHeader = ctypes.PYFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_uint8, c_size_t)
OnData = ctypes.PYFUNCTYPE(c_int, c_void_p, c_uint8, c_int32, c_void_p, c_size_t, c_size_t)
OnClose = ctypes.PYFUNCTYPE(c_int, c_void_p, c_int32, c_uint32, c_size_t)
ReadData = ctypes.PYFUNCTYPE(c_ssize_t, c_void_p, c_int32, c_void_p, c_size_t, POINTER(c_uint32), c_void_p, c_size_t)

_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "session_callbacks_new": (c_int, (POINTER(c_void_p),)),
    "session_callbacks_set_on_begin_headers_callback": (None, (c_void_p, OnFrame)),
    "session_callbacks_set_on_header_callback": (None, (c_void_p, OnHeader)),
    "session_callbacks_set_on_frame_recv_callback": (None, (c_void_p, OnFrame)),
    "session_callbacks_set_on_data_chunk_recv_callback": (None, (c_void_p, OnData)),
    "session_callbacks_set_on_stream_close_callback": (None, (c_void_p, OnClose)),
    "option_new": (c_int, (POINTER(c_void_p),)),
    "option_set_no_closed_streams": (None, (c_void_p, c_int)),
    "option_set_max_outbound_ack": (None, (c_void_p, c_size_t)),
    "option_set_max_settings": (None, (c_void_p, c_size_t)),
    "option_set_stream_reset_rate_limit": (None, (c_void_p, c_uint64, c_uint64)),
    "session_server_new2": (c_int, (POINTER(c_void_p), c_void_p, c_size_t, c_void_p)),
    "session_del": (None, (c_void_p,)),
    "session_mem_recv": (c_ssize_t, (c_void_p, c_void_p, c_size_t)),
    "session_mem_send": (c_ssize_t, (c_void_p, POINTER(c_void_p))),
    "session_want_read": (c_int, (c_void_p,)),
    "session_want_write": (c_int, (c_void_p,)),
    "session_get_last_proc_stream_id": (c_int32, (c_void_p,)),
    "session_set_local_window_size": (c_int, (c_void_p, c_uint8, c_int32, c_int32)),
    "session_resume_data": (c_int, (c_void_p, c_int32)),
    "session_terminate_session": (c_int, (c_void_p, c_uint32)),
    "submit_settings": (c_int, (c_void_p, c_uint8, c_void_p, c_size_t)),
    "submit_response": (c_int, (c_void_p, c_int32, c_void_p, c_size_t, c_void_p)),
    "submit_trailer": (c_int, (c_void_p, c_int32, c_void_p, c_size_t)),
    "submit_rst_stream": (c_int, (c_void_p, c_uint8, c_int32, c_uint32)),
    "submit_goaway": (c_int, (c_void_p, c_uint8, c_int32, c_uint32, c_void_p, c_size_t)),
    "submit_shutdown_notice": (c_int, (c_void_p,)),
    "submit_ping": (c_int, (c_void_p, c_uint8, c_void_p)),
}
_NEWER = ("option_set_stream_reset_rate_limit",)


class Nghttp2:
    """The library's functions as attributes, without their prefix; None for those of `_NEWER` that it lacks."""

    def __init__(self, library: Any) -> None:
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, f"nghttp2_{name}", None)
            if function is None and name in _NEWER:
                setattr(self, name, None)
                continue
            if function is None:
                raise AttributeError(name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@functools.cache
def load() -> Nghttp2 | None:
    """The library, None if it is not installed or too old."""
    for name in _names():
        try:
            library = ctypes.PyDLL(name)
            library.nghttp2_version.restype, library.nghttp2_version.argtypes = c_void_p, (c_int,)
            return Nghttp2(library) if library.nghttp2_version(_OLDEST) else None
        except (OSError, AttributeError):
            continue
    return None


def _names() -> Iterator[str]:
    yield from _NAMES
    found = ctypes.util.find_library("nghttp2")  # last, since it runs other programs, which takes a while
    if found:
        yield found


class Fields:
    """Header fields in nghttp2's form.

    Attributes:
        array, count: arguments of `submit_response` and `submit_trailer`.
    """

    __slots__ = ("array", "count")

    def __init__(self, fields: Sequence[tuple[bytes, bytes]], *, lasting: bool = False) -> None:
        """`lasting`: whether this object outlives the session, so that nghttp2 need not copy it."""
        flags = _NO_COPY if lasting else 0
        self.count = len(fields)
        self.array = (HeaderField * self.count)(
            *[HeaderField(name, value, len(name), len(value), flags) for name, value in fields]
        )
