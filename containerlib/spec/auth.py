"""Credentials as values. What is secret is in no repr."""

from __future__ import annotations

import re
from typing import Protocol

from attrs import Attribute, field, frozen

from containerlib.errors import InvalidArgument

__all__ = ["Auth", "BasicAuth", "Credentials", "IdentityToken", "RegistryToken"]


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


@frozen
class BasicAuth:
    """A user name and a password or access token, for one registry. Raises: InvalidArgument."""

    username: str = field(validator=_text)
    password: str = field(repr=False, validator=_text)


@frozen
class IdentityToken:
    """What stands for a password at the registry's token server (OAuth2's refresh token), as a login leaves it.

    Raises: InvalidArgument.
    """

    token: str = field(repr=False, validator=_text)


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
