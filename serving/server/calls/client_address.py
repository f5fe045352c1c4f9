"""The address that a request came from."""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote


def is_local(peer: str) -> bool:
    """Whether a request came from this machine, over loopback or a UNIX socket; false if unknown.

    Requests through a proxy on this machine look local too.

    Args:
        peer: the sender as grpcio's `ServicerContext.peer()` writes it: `ipv4:127.0.0.1:4711`, `ipv6:[::1]:4711`,
            `unix:`; empty if unknown.
    """
    kind, _, rest = unquote(peer).partition(":")
    if kind in ("unix", "unix-abstract"):
        return True
    if kind not in ("ipv4", "ipv6"):
        return False
    host = rest.rpartition(":")[0].removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # from a socket for both IPv4 and IPv6
    return (mapped or address).is_loopback
