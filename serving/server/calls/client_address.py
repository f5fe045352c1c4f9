"""Who asks: the address that a request came from."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    Attributes:
        peer: the address as grpcio's `ServicerContext.peer()` writes it: `ipv4:127.0.0.1:4711`, `ipv6:[::1]:4711`,
            `unix:`; empty where it is not known.
    """

    peer: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the request came from this machine: over its loopback or a UNIX socket. Unknown addresses did not.

        A proxy on this machine makes callers from anywhere look so.
        """
        kind, _, rest = unquote(self.peer).partition(":")
        if kind in ("unix", "unix-abstract"):
            return True
        if kind not in ("ipv4", "ipv6"):
            return False
        host = rest.rpartition(":")[0].removeprefix("[").removesuffix("]").partition("%")[0]
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)  # of a socket that takes IPv4 and IPv6
        return (mapped or address).is_loopback
