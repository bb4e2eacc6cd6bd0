"""Content digests: checked before they become a path, and computed while bytes pass by."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib.errors import InvalidArgument

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["ALGORITHMS", "Digest", "Hasher"]

_LENGTHS = {"sha256": 64, "sha512": 128}
_FORM = re.compile(r"(sha256|sha512):([0-9a-f]+)")

ALGORITHMS = tuple(_LENGTHS)
"""Those that digests are of. Spec: image-spec descriptor.md#registered-algorithms"""


@frozen(order=True)
class Digest:
    """`"sha256:<64 hex>"` or `"sha512:<128 hex>"` in two parts. Both are safe as path components.

    Spec: image-spec descriptor.md#digests.
    """

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str, *, field: str = "digest") -> Digest:
        """Raises: InvalidArgument for every form but a registered algorithm with its full lower-case hex."""
        match = _FORM.fullmatch(text)
        if match is None or len(match[2]) != _LENGTHS[match[1]]:
            raise InvalidArgument(
                f'{text[:200]!r} is not a digest such as "sha256:<64 hex digits>"', field=field
            )
        return cls(match[1], match[2])

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The SHA-256 of `data`."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    def matches(self, data: bytes) -> bool:
        """Whether `data` is what this digest names."""
        return hashlib.new(self.algorithm, data).hexdigest() == self.hex

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class Hasher:
    """A digest in the making. `update` releases the GIL for buffers above 2 KiB."""

    __slots__ = ("_algorithm", "_hash", "update")

    def __init__(self, algorithm: str = "sha256") -> None:
        self._algorithm = algorithm
        self._hash: _Hash = hashlib.new(algorithm)
        self.update = self._hash.update

    def digest(self) -> Digest:
        return Digest(self._algorithm, self._hash.hexdigest())
