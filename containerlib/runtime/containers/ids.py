"""What may be the id of a container: runc's rule, since ids travel between runtimes."""

from __future__ import annotations

from containerlib.errors import InvalidArgument

__all__ = ["RESERVED", "check_id"]

RESERVED = ".seccomp"
"""A directory beside the containers': filters that were compiled, which takes ten times as long as the rest."""

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+,-.")
_LONGEST = 255
"""It names a directory."""


def check_id(container_id: str) -> str:
    """`container_id`, which may stand for a directory's name. Raises: InvalidArgument."""
    if not container_id:
        raise InvalidArgument("container id cannot be empty")
    if container_id in (".", "..", RESERVED) or not _ALLOWED.issuperset(container_id):
        raise InvalidArgument(
            f"invalid container ID format: {container_id!r} has other characters than letters, digits and _+,-., "
            "or is reserved"
        )
    if len(container_id) > _LONGEST:
        raise InvalidArgument(f"invalid container ID format: it has more than {_LONGEST} characters")
    return container_id
