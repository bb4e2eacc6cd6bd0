"""A file or variable for a container that is nowhere but in memory."""

from __future__ import annotations

from containerlib.spec.values import field, frozen

__all__ = ["DIRECTORY", "Secret"]

DIRECTORY = "/run/secrets"
"""Where they are in a container, on a tmpfs of its own."""


@frozen
class Secret:
    """`value` is in no repr. `source`: the file on the host that has it instead, read when the container is made.

    `variable`: its first process has it in its environment, and not as a file. `is_helper`: the file is the helper.
    """

    name: str
    path: str
    value: bytes = field(default=b"", repr=False)
    source: str | None = None
    mode: int = 0o400
    uid: int = 0
    gid: int = 0
    variable: str | None = None
    is_helper: bool = False

    @property
    def place(self) -> tuple[str, str | None]:
        """Where it is: one of a kind in a container."""
        return self.path, self.variable
