"""Which proxy leads to a server by the environment, as Go's programs read it, kubectl among them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}


def proxy_of(server: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The name and the value of the variable that counts for a server's address; None where none does: there is none,
    NO_PROXY takes the server out, or it is this machine."""
    address = urlsplit(server)
    upper = f"{address.scheme}_proxy".upper()
    found = next(((name, environ[name]) for name in (upper, upper.lower()) if environ.get(name)), None)
    if found is None or _is_excepted(address, environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return None
    name, value = found
    return name, value if "://" in value else f"http://{value}"


def _is_excepted(address: SplitResult, exceptions: str) -> bool:
    host, ip = (address.hostname or "").lower().rstrip("."), _ip(address.hostname or "")
    if host == "localhost" or (ip is not None and ip.is_loopback):
        return True
    port = str(address.port or _PORTS.get(address.scheme))
    return any(_fits(entry.strip().lower(), host, ip, port) for entry in exceptions.split(","))


def _fits(entry: str, host: str, ip: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: str) -> bool:
    """`*`, an address, a network `10.0.0.0/8`, a domain with all below it, `.domain` for those below it alone; all but
    networks may end with `:port`."""
    if entry == "*":
        return True
    if "/" in entry:
        with suppress(ValueError):
            return ip is not None and ip in ipaddress.ip_network(entry, strict=False)
        return False
    name, colon, wanted = entry.rpartition(":")
    if not colon or _ip(entry) is not None:
        name, wanted = entry, port
    if not name or wanted != port:
        return False
    if ip is not None:
        return _ip(name.strip("[]")) == ip
    name = name.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with suppress(ValueError):
        return ipaddress.ip_address(text)
    return None
