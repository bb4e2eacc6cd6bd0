"""Credentials as values. What is secret is in no repr."""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen

__all__ = ["Auth", "BasicAuth", "Credentials", "IdentityToken", "RegistryToken"]


@frozen
class BasicAuth:
    """A user name and a password or access token, for one registry."""

    username: str
    password: str = field(repr=False)


@frozen
class IdentityToken:
    """What stands for a password at the registry's token server (OAuth2's refresh token), as a login leaves it."""

    token: str = field(repr=False)


@frozen
class RegistryToken:
    """A bearer token that is shown to the registry as it is; there is nothing to renew it with."""

    token: str = field(repr=False)


Auth = BasicAuth | IdentityToken | RegistryToken


class Credentials(Protocol):
    """Where credentials come from: an argument, a file, a helper."""

    def get(self, registry: str, repository: str) -> Auth | None:
        """Those for `repository` at `registry` (`host[:port]`, and `docker.io`); None to stay anonymous.

        Asked for in the thread that needs them, when a registry asks for the first time.
        """
