"""Warns in time before certificates expire."""

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
_VERSION_TAG = 0xA0
_TIME_FORMATS = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime, GeneralizedTime
_WARN_BEFORE = (timedelta(days=14), timedelta(days=1), timedelta(0))
_CHECK_SECONDS = 60.0


def earliest_expiry(certificates: bytes) -> datetime | None:
    """When the first of these PEM certificates expires; None if none can be read."""
    ends = []
    for block in _PEM.findall(certificates.decode("ascii", "replace")):
        try:
            ends.append(_not_after(ssl.PEM_cert_to_DER_cert(block)))
        except (ValueError, LookupError):  # OpenSSL decides which certificates can be used
            continue
    return min(ends, default=None)


class ExpiryWarnings:
    """Logs a warning 14 days before a certificate expires, another one day before, and an error when it has expired."""

    def __init__(self, tls: TlsFiles) -> None:
        self.set_certificates(tls)

    def set_certificates(self, tls: TlsFiles) -> None:
        """Replaces the certificates."""
        named = {"The server's certificate": tls.server_cert, "A certificate of the clients' authority": tls.custom_ca}
        self._ends = {name: end for name, pem in named.items() if (end := earliest_expiry(pem)) is not None}
        self._last_warning: dict[str, timedelta] = {}

    async def run(self) -> None:
        """Warns until it is cancelled."""
        while True:
            self.warn_if_due()
            await asyncio.sleep(_CHECK_SECONDS)

    def warn_if_due(self, now: datetime | None = None) -> None:
        """Logs the warnings that are due and have not been logged yet.

        Args:
            now: None for the current time.
        """
        now = now or datetime.now(UTC)
        for name, end in self._ends.items():
            due = [before for before in _WARN_BEFORE if end - now <= before]
            if due and self._last_warning.get(name) != due[-1]:
                self._last_warning[name] = due[-1]
                if end <= now:
                    _log.error("%s has expired at %s: replace it", name, end)
                else:
                    _log.warning("%s expires in %.1f days, at %s", name, (end - now) / timedelta(days=1), end)


def _not_after(certificate: bytes) -> datetime:
    """The end of a DER certificate's validity (RFC 5280, section 4.1).

    Raises:
        ValueError, LookupError: the bytes are not a certificate.
    """
    (_, whole), *_ = _der_elements(certificate)
    (_, to_be_signed), *_ = _der_elements(whole)
    # Serial number, algorithm, issuer, validity; the version comes first, unless it is the default.
    fields = [content for tag, content in _der_elements(to_be_signed) if tag != _VERSION_TAG]
    _, (tag, time) = _der_elements(fields[3])
    return datetime.strptime(time.decode(), _TIME_FORMATS[tag]).replace(tzinfo=UTC)


def _der_elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER element in a row."""
    at = 0
    while at < len(content):
        tag, size = content[at], content[at + 1]
        at += 2
        if size & 0x80:  # the number of bytes of the size
            count = size & 0x7F
            size, at = int.from_bytes(content[at : at + count]), at + count
        if at + size > len(content):
            raise ValueError("the certificate is cut off")
        yield tag, content[at : at + size]
        at += size
