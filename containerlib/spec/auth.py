"""Credentials as values. What is secret is in no repr."""

from __future__ import annotations

import re
from typing import Protocol

from attrs import Attribute, field, frozen

from containerlib.errors import InvalidArgument

__all__ = ["Auth", "BasicAuth", "Credentials", "IdentityToken", "RegistryToken", "check_token_server"]

_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.IGNORECASE)

_IN_A_HEADER = re.compile(r"[\x21-\x7e]+(?: +[\x21-\x7e]+)*")


def _text(_: object, attribute: Attribute[str], value: str) -> None:
    """Refuses what has no bytes. No message has the value in it, which is a secret."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgument("it is not text in UTF-8", field=attribute.name) from None


def _header(_: object, attribute: Attribute[str], value: str) -> None:
    """Refuses what no header can have: whoever sends it would name it when it fails."""
    if not _IN_A_HEADER.fullmatch(value):
        raise InvalidArgument(
            "a token has no space around it, and no line ends or letters beyond ASCII: strip what a file has around it",
            field=attribute.name,
        )


def check_token_server(value: str, field: str = "token_server") -> str:
    """`value` if it is host[:port], or empty. Raises: InvalidArgument(field=field)."""
    match = _HOST.fullmatch(value) if isinstance(value, str) else None
    if value != "" and (match is None or int(match[1] or 0) > 0xFFFF):
        raise InvalidArgument(
            f"{value!r:.200} is no token server: give its host[:port], such as 'auth.example.org'",
            field=field,
        )
    return value


def _host(_: object, __: object, value: str) -> None:
    check_token_server(value)


@frozen
class BasicAuth:
    """A user name and a password or access token, for one registry.

    They are sent to the registry's own domain alone; `token_server` is the `host[:port]` of a token server elsewhere
    that may see them too.

    Raises: InvalidArgument.
    """

    username: str = field(validator=_text)
    password: str = field(repr=False, validator=_text)
    token_server: str = field(default="", kw_only=True, validator=_host)


@frozen
class IdentityToken:
    """What stands for a password at the registry's token server (OAuth2's refresh token), as a login leaves it.

    `token_server`: as of BasicAuth. Raises: InvalidArgument.
    """

    token: str = field(repr=False, validator=_text)
    token_server: str = field(default="", kw_only=True, validator=_host)


@frozen
class RegistryToken:
    """A bearer token that is shown to the registry as it is; there is nothing to renew it with.

    Raises: InvalidArgument for what cannot be.
    """

    token: str = field(repr=False, validator=_header)


Auth = BasicAuth | IdentityToken | RegistryToken


class Credentials(Protocol):
    """Where credentials come from: an argument, a file, a helper."""

    def get(self, registry: str, repository: str) -> Auth | None:
        """Those for `repository` at `registry` (`host[:port]`, and `docker.io`); None to stay anonymous.

        Asked for in the thread that needs them, when a registry asks for the first time.
        """
