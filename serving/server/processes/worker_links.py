"""The supervisor's end of the socket pair to one worker. It never blocks: what the worker does not take is kept."""

from __future__ import annotations

import contextlib
import socket

from serving.server.processes.frames import MAX_BYTES, BadFrameError, Frame, Kind, frame, frames

_MAX_KEPT = 2 * MAX_BYTES
_PIECE = 2**16


class LinkError(Exception):
    """There is no speaking to this worker any more."""


class Link:
    """See the module.

    Args:
        end: of the socket pair.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._coming, self._kept = bytearray(), bytearray()

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def waits(self) -> bool:
        """Whether something is kept that the worker has not taken."""
        return bool(self._kept)

    def send(self, kind: Kind, number: int, content: bytes = b"") -> None:
        """Sends a frame, or keeps what of it cannot be sent now.

        Raises:
            LinkError: more is kept than may be.
        """
        self._kept += frame(kind, number, content)
        self.flush()
        if len(self._kept) > _MAX_KEPT:
            raise LinkError(f"it has left {len(self._kept)} bytes unread")

    def flush(self) -> None:
        """Sends what is kept, as far as the worker takes it. That it has gone is told by `receive`."""
        with contextlib.suppress(OSError):
            while self._kept:
                sent = self._end.send(memoryview(self._kept)[:_PIECE].tobytes())
                del self._kept[:sent]

    def receive(self) -> list[Frame] | None:
        """The frames that have come; None at the end.

        Raises:
            LinkError: what came is no frame.
        """
        try:
            piece = self._end.recv(_PIECE)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not piece:
            return None
        self._coming += piece
        try:
            return frames(self._coming)
        except BadFrameError as error:
            raise LinkError(f"it sent {error}") from error

    def close(self) -> None:
        self._end.close()
