"""A file for a container that is nowhere but in memory."""

from __future__ import annotations

from containerlib.spec.values import field, frozen

__all__ = ["DIRECTORY", "Secret"]

DIRECTORY = "/run/secrets"
"""Where they are in a container, on a tmpfs of its own."""


@frozen
class Secret:
    """`value` is in no repr. `source`: the file on the host that has it instead, read when the container is made."""

    name: str
    path: str
    value: bytes = field(default=b"", repr=False)
    source: str | None = None
    mode: int = 0o400
    uid: int = 0
    gid: int = 0
