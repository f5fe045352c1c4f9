"""A REST response whose header and body are written in one call.

aiohttp's own response builds a mapping of header fields, which takes a tenth of a small request's time. The bytes sent
are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

_REASONS = {status.value: status.phrase for status in HTTPStatus} | {499: "Client Closed Request"}


def reason_of(status: int) -> str:
    """The reason phrase of a status."""
    return _REASONS.get(status, "")


class SingleWriteResponse(web.StreamResponse):
    """See the module. Each instance serves one request.

    Args:
        status: of HTTP.
        body: complete.
        fields: of the header, except length, date, server and connection.
    """

    # Skips aiohttp's initializer, which is the slow part: its server reads only these attributes.
    def __init__(self, status: int, body: bytes | memoryview, fields: Mapping[str, str]) -> None:
        self._status, self._bytes, self._fields = status, bytes(body), fields
        self._keep_alive: bool | None = None
        self._eof_sent = False

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Writes the response.

        Raises:
            ConnectionResetError: the client has left.
        """
        if self._eof_sent:
            return None
        self._eof_sent = True
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        connection = ""
        old = request.version < (1, 1)
        if self._keep_alive is old:
            connection = "Connection: keep-alive\r\n" if old else "Connection: close\r\n"
        fields = "".join([f"{name}: {value}\r\n" for name, value in self._fields.items()])
        header = (
            f"HTTP/{'1.0' if old else '1.1'} {self._status} {reason_of(self._status)}\r\n{fields}"
            f"Content-Length: {len(self._bytes)}\r\nDate: {rfc822_formatted_time()}\r\nServer: {SERVER_SOFTWARE}\r\n"
            f"{connection}\r\n"
        ).encode()
        transport.write(header if request.method == "HEAD" else header + self._bytes)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Does nothing: `prepare` has written everything."""
