"""When certificates expire, and telling it in time."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from serving.server.options import TlsFiles

_log = logging.getLogger(__name__)

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VERSION = 0xA0
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime, GeneralizedTime
_WARNINGS = (timedelta(days=14), timedelta(days=1), timedelta(0))
_OFTEN = 60.0  # seconds between looks at the clock


def expires(certificates: bytes) -> datetime | None:
    """When the first of some PEM certificates expires; None where there is none that can be read."""
    ends = []
    for block in _PEM.findall(certificates.decode("ascii", "replace")):
        try:
            ends.append(_not_after(ssl.PEM_cert_to_DER_cert(block)))
        except (ValueError, LookupError):  # OpenSSL has the last word on what can be used
            continue
    return min(ends, default=None)


class Expiry:
    """Warns of certificates that expire: 14 days before, one day before, and when they have.

    Args:
        tls: whose certificates.
    """

    def __init__(self, tls: TlsFiles) -> None:
        self.watch(tls)

    def watch(self, tls: TlsFiles) -> None:
        """Begins with others."""
        named = {"The server's certificate": tls.server_cert, "A certificate of the clients' authority": tls.custom_ca}
        self._ends = {name: end for name, pem in named.items() if (end := expires(pem)) is not None}
        self._told: dict[str, timedelta] = {}

    async def run(self) -> None:
        """Warns until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_OFTEN)

    def look(self, now: datetime | None = None) -> None:
        """Logs what is to be said by now and has not been.

        Args:
            now: None for what the clock says.
        """
        now = now or datetime.now(UTC)
        for name, end in self._ends.items():
            due = [before for before in _WARNINGS if end - now <= before]
            if due and self._told.get(name) != due[-1]:
                self._told[name] = due[-1]
                _tell(name, end, end - now)


def _tell(name: str, end: datetime, left: timedelta) -> None:
    if left <= timedelta(0):
        _log.error("%s has expired at %s: put a new one in its place", name, end)
    else:
        _log.warning("%s expires in %.1f days, at %s", name, left / timedelta(days=1), end)


def _not_after(certificate: bytes) -> datetime:
    """The end of a DER certificate's validity (RFC 5280, section 4.1).

    Raises:
        ValueError, LookupError: it is no certificate.
    """
    (_, whole), *_ = _parts(certificate)
    (_, to_be_signed), *_ = _parts(whole)
    # Serial number, algorithm, issuer, validity; before them the version, where it is not the first.
    fields = [content for tag, content in _parts(to_be_signed) if tag != _VERSION]
    _, (tag, time) = _parts(fields[3])
    return datetime.strptime(time.decode(), _TIMES[tag]).replace(tzinfo=UTC)


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER element in a row."""
    at = 0
    while at < len(content):
        tag, size = content[at], content[at + 1]
        at += 2
        if size & 0x80:  # the size's own size
            count = size & 0x7F
            size, at = int.from_bytes(content[at : at + count]), at + count
        if at + size > len(content):
            raise ValueError("a certificate that is cut off")
        yield tag, content[at : at + size]
        at += size
