"""Credentials as a value."""

from __future__ import annotations

from attrs import field, frozen

__all__ = ["BasicAuth"]


@frozen
class BasicAuth:
    """A user name and a password or access token, for one registry. The password is never in a repr."""

    username: str
    password: str = field(repr=False)
