"""Keys and certificates in files: read at the start, and again when they change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

from serving.errors import OptionsError
from serving.server.expiry import Expiry
from serving.server.options import TlsFiles, TlsSource
from serving.server.text_files import read_tls, read_tls_files

_log = logging.getLogger(__name__)

_SELDOM = 3600.0  # seconds between looks at the calendar, where the files are not looked at

Apply = Callable[[TlsFiles], None]


def read(source: TlsSource) -> TlsFiles:
    """What the files hold now.

    Raises:
        OptionsError: they cannot be read, or not be used.
    """
    if source.config is not None:
        return read_tls(source.config)
    assert source.certificate is not None, "a source has files"
    assert source.key is not None, "a certificate has a key"
    return read_tls_files(source.certificate, source.key, source.authority)


async def follow(source: TlsSource, tls: TlsFiles, apply: Apply, seconds: float, *, tell: bool = True) -> None:
    """Hands on what changes, until it is cancelled. What cannot be used is logged, and the old ones stay in force.

    Args:
        source: of the certificates.
        tls: those in force.
        apply: takes others into use; it may raise `ssl.SSLError`.
        seconds: between two looks at the files; 0: never.
        tell: whether to warn of what expires: one process of several does.
    """
    expiry, problem = Expiry(tls), ""
    loop = asyncio.get_running_loop()
    while True:
        if tell:
            expiry.look()
        await asyncio.sleep(seconds or _SELDOM)
        if not seconds:
            continue
        try:
            found = await loop.run_in_executor(None, read, source)
            if found != tls:
                apply(found)
                tls, expiry, problem = found, Expiry(found), ""
                _log.info("new keys and certificates are in force")
        except (OptionsError, ssl.SSLError, ValueError) as error:
            if str(error) != problem:
                _log.error("the keys and certificates in force stay: %s", error)
            problem = str(error)
