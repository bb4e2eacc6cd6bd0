"""Which machine an image is for, and which of several images suits a machine best."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Sequence
from functools import cache

from attrs import evolve, frozen

from containerlib.errors import InvalidArgument

__all__ = ["Platform", "choose"]

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ARCHITECTURES: dict[str, tuple[str, str]] = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
}
# A plain architecture, in the words of Go's ports, means this variant.
_DEFAULT_VARIANTS = {"arm": "v7", "arm64": "v8", "amd64": "v1"}


@frozen
class Platform:
    """`os/architecture[/variant]` in the words of image-spec image-index.md (Go's GOOS and GOARCH)."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """`"linux/arm64"`, `"linux/arm/v7"`; a kernel's word for the machine (`x86_64`) is understood.

        Raises: InvalidArgument(field="platform").
        """
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(_PART.fullmatch(part) for part in parts):
            raise InvalidArgument(
                f'{text!r} is not a platform: write "linux/amd64" or "linux/arm/v7"', field="platform"
            )
        return cls(*parts).normalised()

    @classmethod
    @cache
    def host(cls) -> Platform:
        """The running machine's."""
        return cls("linux", platform.machine()).normalised()

    def normalised(self) -> Platform:
        """One spelling of each platform: `linux/aarch64` and `linux/arm64/v8` are `linux/arm64`."""
        name = self.architecture.lower()
        architecture, variant = _ARCHITECTURES.get(name, (name, ""))
        variant = self.variant.lower() or variant
        if variant == _DEFAULT_VARIANTS.get(architecture) and architecture != "arm":
            variant = ""
        if architecture == "arm" and not variant:
            variant = "v7"
        return Platform(self.os.lower(), architecture, variant)

    def runs(self) -> tuple[Platform, ...]:
        """What a machine of this platform can run, best first: itself, then older variants, then 32-bit."""
        own = self.normalised()
        older = {"v8": ("v7", "v6", "v5"), "v7": ("v6", "v5"), "v6": ("v5",)}
        if own.architecture == "arm":
            return (own, *(evolve(own, variant=v) for v in older.get(own.variant, ())))
        if own.architecture == "arm64":
            return (own, *(Platform(own.os, "arm", v) for v in ("v8", *older["v8"])))
        if own.architecture == "amd64":
            return (own, Platform(own.os, "386"))
        return (own,)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def choose(wanted: Sequence[Platform], offered: Iterable[Platform | None]) -> int | None:
    """The position in `offered` of the best match: the earliest of `wanted` that is offered, else None."""
    positions: dict[Platform, int] = {}
    for position, platform_ in enumerate(offered):
        if platform_ is not None:
            positions.setdefault(platform_.normalised(), position)
    return next((positions[p] for p in wanted if p in positions), None)
