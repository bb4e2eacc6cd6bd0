"""Where a registry's name leads, and whether plain HTTP is good enough there."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["base_url", "is_loopback", "origin"]

_SERVED_BY = {"docker.io": "registry-1.docker.io"}


def base_url(registry: str) -> str:
    """`https://host[:port]`; plain HTTP for this machine's own loopback, where nobody listens in."""
    host = urlsplit(f"//{registry}").hostname or ""
    scheme = "http" if is_loopback(host) else "https"
    return f"{scheme}://{_SERVED_BY.get(registry, registry)}"


def is_loopback(host: str) -> bool:
    """Whether `host` is localhost, in 127.0.0.0/8, or ::1. Names are not looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what credentials are for."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
