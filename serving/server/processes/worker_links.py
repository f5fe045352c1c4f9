"""The supervisor's end of the socket pair to one worker. It never blocks: what the worker does not read is kept."""

from __future__ import annotations

import contextlib
import socket

from serving.server.processes.control_frames import MAX_BYTES, BadFrameError, Frame, FrameKind, encode_frame, pop_frames

_MAX_UNSENT = 2 * MAX_BYTES
_PIECE = 2**16


class WorkerLinkError(Exception):
    """The worker can no longer be reached."""


class WorkerLink:
    """See the module. `end` is a socket of the pair."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._received, self._unsent = bytearray(), bytearray()

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether something is kept that the worker has not read."""
        return bool(self._unsent)

    def send(self, kind: FrameKind, number: int, content: bytes = b"") -> None:
        """Sends a frame, and keeps the part that cannot be sent now.

        Raises:
            WorkerLinkError: too much is unsent.
        """
        self._unsent += encode_frame(kind, number, content)
        self.flush()
        if len(self._unsent) > _MAX_UNSENT:
            raise WorkerLinkError(f"it has left {len(self._unsent)} bytes unread")

    def flush(self) -> None:
        """Sends what is kept, as far as the worker reads. `receive` reports a worker that is gone."""
        with contextlib.suppress(OSError):
            while self._unsent:
                sent = self._end.send(memoryview(self._unsent)[:_PIECE].tobytes())
                del self._unsent[:sent]

    def receive(self) -> list[Frame] | None:
        """The frames that have arrived; None at the end of the connection.

        Raises:
            WorkerLinkError: the worker sent something else.
        """
        try:
            piece = self._end.recv(_PIECE)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not piece:
            return None
        self._received += piece
        try:
            return pop_frames(self._received)
        except BadFrameError as error:
            raise WorkerLinkError(f"it sent {error}") from error

    def close(self) -> None:
        self._end.close()
