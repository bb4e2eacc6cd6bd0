"""Where a registry's name leads, and whether plain HTTP is good enough there."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

import httpx
from attrs import frozen

from containerlib.errors import InvalidArgument

__all__ = ["PlainHttp", "host_of", "is_link_local", "is_loopback", "origin", "served_by", "split_url"]

_METADATA = ipaddress.ip_network("fd00:ec2::/32")
_SERVED_BY = {"docker.io": "registry-1.docker.io"}


@frozen
class PlainHttp:
    """Where requests may go without TLS: this machine's loopback, where nobody listens in, or a host named insecure."""

    loopback: bool = False
    host: str = ""

    def allows(self, host: str) -> bool:
        return (self.loopback and is_loopback(host)) or (self.host != "" and host == self.host)


def served_by(registry: str) -> str:
    """The host[:port] that answers for `registry`."""
    return _SERVED_BY.get(registry, registry)


def host_of(registry: str) -> str:
    """The host of `host[:port]`, without an IPv6 address's brackets."""
    return urlsplit(f"//{registry}").hostname or ""


def is_loopback(host: str) -> bool:
    """Whether `host` is localhost, in 127.0.0.0/8, or ::1. Names are not looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_link_local(host: str) -> bool:
    """Whether `host` is an address that only this link has, as clouds give to their metadata services.

    169.254.0.0/16, fe80::/10, the former written as IPv6, and fd00:ec2::/32, where one cloud has its own over IPv6.
    Names are not looked up.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped.is_link_local
        return address.is_link_local or address in _METADATA
    return address.is_link_local


def split_url(url: str) -> SplitResult:
    """The parts of a URL that somebody else wrote.

    Raises: InvalidArgument(field="url") for what is none, in its brackets, its port or its name, to either of the two
    that read it: what one of them takes, the other may choke on when it is asked for.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - read for what it raises
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise InvalidArgument(f"it is no URL ({error})", field="url") from error
    return parts


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what credentials are for."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
