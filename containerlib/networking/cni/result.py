"""What plugins made of a container's place: the last one's answer to ADD.

Spec: CNI SPEC.md, "Section 5: Result Types"
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from containerlib.errors import InvalidArgument
from containerlib.spec.document import Document

__all__ = ["Result"]

_MOST = 64
"""Addresses of one interface."""


@frozen
class Result:
    """Addresses without their lengths, and what the container is to know of names."""

    addresses: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: Mapping[str, Any], interface: str) -> Result:
        """Raises: InvalidArgument for what is no result."""
        document = Document(value, "the result")
        interfaces = document.documents("interfaces")
        ours = {
            n
            for n, one in enumerate(interfaces)
            if one.text("sandbox", default="") and one.text("name") == interface
        }
        found: dict[str, None] = {}
        for one in document.documents("ips")[:_MOST]:
            if "interface" in one and ours and one.number("interface") not in ours:
                continue
            found[_address(one)] = None
        dns = document.document("dns")
        domain = dns.text("domain", default="")
        search = dns.texts("search") or ((domain,) if domain else ())
        servers = tuple(str(_parsed(one)) for one in dns.texts("nameservers"))
        for word in (*search, *dns.texts("options")):
            if not word.isascii() or not word.isprintable() or " " in word or not word:
                raise InvalidArgument(f"{word[:100]!r} is no word of a resolv.conf", field="dns")
        return cls(tuple(found), servers, search, dns.texts("options"))


def _address(one: Document) -> str:
    text = one.text("address")
    try:
        return str(ipaddress.ip_interface(text).ip)
    except ValueError as error:
        raise InvalidArgument(f"{text[:100]!r} is no address", field=one.where) from error


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise InvalidArgument(f"{text[:100]!r} is no address", field="dns.nameservers") from error
