"""What the words about names, addresses and identity take. Pure, as words.py is.

Every function raises InvalidArgument with the word's name as its `field`.
"""

from __future__ import annotations

import ipaddress
import os
import re

from containerlib.engine.words import any_path, hostname, text
from containerlib.errors import InvalidArgument
from containerlib.units import check_kind

__all__ = [
    "dns_options",
    "domainname",
    "file_path",
    "groups",
    "host_entry",
    "search",
    "servers",
    "timezone",
    "umask",
]

_DOMAIN = re.compile(
    r"[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*\.?"
)
_DNS_OPTION = re.compile(r"[a-z][a-z0-9-]*(:[0-9]+)?")
_GROUP = re.compile(r"[^\s:,]{1,64}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_MAX_ID = 2**31 - 1


def domainname(name: str) -> str:
    """A domain of at most 64 bytes, as setdomainname(2) takes it."""
    if len(text(name, field="domainname")) > 64 or not _DOMAIN.fullmatch(name):
        raise InvalidArgument(f"{name!r} is not a domain of at most 64 characters", field="domainname")
    return name


def host_entry(name: str, address: str) -> tuple[str, str]:
    """A line of /etc/hosts."""
    try:
        hostname(name)
    except InvalidArgument as error:
        raise InvalidArgument(f"{name!r} is not a host name", field="add_host") from error
    if address == "host-gateway":
        raise InvalidArgument(
            "host-gateway is the host's address on a bridge, which this container has not: write the address",
            field="add_host",
        )
    return name, _address(address, field="add_host")


def servers(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses of name servers."""
    return tuple(_address(address, field="dns") for address in addresses)


def search(domains: tuple[str, ...]) -> tuple[str, ...]:
    """Domains in which names are sought; `"."` for none."""
    for domain in domains:
        if text(domain, field="search") != "." and not _DOMAIN.fullmatch(domain):
            raise InvalidArgument(f"{domain!r} is not a domain", field="search")
    return domains


def dns_options(options: tuple[str, ...]) -> tuple[str, ...]:
    """Options of resolv.conf(5), e.g. `"ndots:2"`."""
    for option in options:
        if not _DNS_OPTION.fullmatch(text(option, field="options")):
            raise InvalidArgument(
                f'{option!r} is no option of resolv.conf(5): write e.g. "ndots:2"', field="options"
            )
    return options


def groups(names: tuple[str | int, ...]) -> tuple[str, ...]:
    """Groups by name or number."""
    for name in names:
        check_kind(name, int, str, want="a group: write a name or a number", field="group_add")
        if isinstance(name, int) and not 0 <= name <= _MAX_ID:
            raise InvalidArgument(f"{name} is no id: from 0 to {_MAX_ID}", field="group_add")
        if not _GROUP.fullmatch(text(str(name), field="group_add")):
            raise InvalidArgument(f"{name!r} is not the name of a group", field="group_add")
    return tuple(dict.fromkeys(str(name) for name in names))


def umask(mask: int) -> int:
    """Permissions that new files lack."""
    check_kind(mask, int, want="a mask of permissions: write e.g. 0o027", field="umask")
    if not 0 <= mask <= 0o777:
        raise InvalidArgument(f"{mask:#o} is not a mask of permissions: write e.g. 0o027", field="umask")
    return mask


def timezone(name: str) -> str:
    """A time zone's name in the IANA database, or `"local"`."""
    if not _ZONE.fullmatch(text(name, field="timezone")):
        raise InvalidArgument(
            f'{name!r} is not a time zone: write e.g. "Europe/Berlin" or "local"', field="timezone"
        )
    return name


def file_path(path: str | os.PathLike[str], *, field: str) -> str:
    """A file of the caller's; a relative path counts from the current directory when the word is said."""
    return os.path.abspath(any_path(path, field=field))  # noqa: PTH100 - a str


def _address(address: str, *, field: str) -> str:
    try:
        return str(ipaddress.ip_address(text(address, field=field)))
    except ValueError as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{address!r} is not an IP address", field=field) from error
