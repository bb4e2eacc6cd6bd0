"""Which machine an image is for, and which of several images suits a machine best."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from attrs import evolve, frozen

from containerlib.errors import InvalidArgument, printable
from containerlib.spec.document import Document

__all__ = ["Platform", "Wanted", "choose"]

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_SYSTEM = re.compile(r"(?P<os>[^()]+)(?:\((?P<version>[^()+]*)(?P<features>(?:\+[^()+]+)*)\))?")
_SYSTEMS = {"macos": "darwin"}
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
"""The kernel's and Debian's words; where one says a variant, that is it."""
_VARIANTS = {
    ("amd64", "v1"): "",
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm64", "v8.0"): "",
    ("arm64", "v9.0"): "v9",
    ("arm", ""): "v7",
    **{("arm", number): f"v{number}" for number in "5678"},
}
_NUMBERED = re.compile(r"v([0-9]{1,2})(?:\.([0-9]{1,2}))?", re.ASCII)
_STABLE_WINDOWS = 20348
"""Since this build of Windows a newer host runs what older builds made, down to this one."""


@frozen
class Platform:
    """`os/architecture[/variant]` in the words of image-spec image-index.md (Go's GOOS and GOARCH)."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """`"linux/arm64"`, `"linux/arm/v7"`, `"windows(10.0.17763+win32k)/amd64"`; a kernel's word for the machine
        (`x86_64`) is understood.

        Raises: InvalidArgument(field="platform").
        """
        head, _, machine = text.partition("/")
        architecture, *variant = machine.split("/")
        system = _SYSTEM.fullmatch(head)
        parts = (system["os"] if system else "", architecture, *variant)
        if system is None or len(variant) > 1 or not all(_PART.fullmatch(part) for part in parts):
            raise InvalidArgument(
                f'{text[:200]!r} is not a platform: write "linux/amd64" or "linux/arm/v7"', field="platform"
            )
        return cls(
            system["os"],
            architecture,
            "".join(variant),
            system["version"] or "",
            tuple(filter(None, (system["features"] or "").split("+"))),
        ).normalised()

    @classmethod
    def read(cls, document: Document) -> Platform:
        """As descriptors and configs have it. Raises: InvalidArgument(field=the path of what is wrong)."""
        return cls(
            document.text("os", default=""),
            document.text("architecture", default=""),
            document.text("variant", default=""),
            document.text("os.version", default=""),
            document.texts("os.features"),
        )

    @classmethod
    @cache
    def host(cls) -> Platform:
        """The running machine's."""
        return cls("linux", platform.machine()).normalised()

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "architecture": self.architecture,
            "os": self.os,
            "os.version": self.os_version,
            "os.features": list(self.os_features),
            "variant": self.variant,
        }
        return {key: item for key, item in value.items() if item or key in ("architecture", "os")}

    def normalised(self) -> Platform:
        """One spelling of each platform: `linux/aarch64` and `linux/arm64/v8` are `linux/arm64`."""
        system, name = self.os.lower(), self.architecture.lower()
        architecture, meant = _ARCHITECTURES.get(name, (name, ""))
        variant = meant or ("" if architecture == "386" else self.variant.lower())
        return Platform(
            _SYSTEMS.get(system, system),
            architecture,
            _VARIANTS.get((architecture, variant), variant),
            self.os_version,
            tuple(sorted(set(self.os_features))),
        )

    def runs(self) -> tuple[Platform, ...]:
        """What a machine of this platform can run, best first: itself, then older variants, then 32-bit."""
        own = self.normalised()
        others = _older(own.architecture, own.variant)
        return (own, *(evolve(own, architecture=a, variant=v).normalised() for a, v in others))

    def serves(self, offered: Platform) -> bool:
        """Whether what is made for `offered` is what this platform asks for: the same machine, and no feature of
        the system that is not here. Windows has a version too; elsewhere it is a note.
        """
        own, other = self.normalised(), offered.normalised()
        return (
            (own.os, own.architecture, own.variant) == (other.os, other.architecture, other.variant)
            and set(other.os_features) <= set(own.os_features)
            and (own.os != "windows" or _same_windows(own.os_version, other.os_version))
        )

    def __str__(self) -> str:
        options = "".join([self.os_version, *(f"+{feature}" for feature in self.os_features)])
        system = f"{self.os}({options})" if options else self.os
        return printable("/".join(part for part in (system, self.architecture, self.variant) if part))


@frozen
class Wanted:
    """The machine that an image is wanted for: the first of `platforms` that there is.

    `is_named`: somebody asked for it, and nothing else will do. Without that it is this machine, and an image that
    comes alone, so that there is nothing to choose, is taken for what it is.
    """

    platforms: tuple[Platform, ...]
    is_named: bool = False

    @classmethod
    def of(cls, text: str | None) -> Wanted:
        """Exactly what the text asks for, or all that this machine can run. Raises: InvalidArgument."""
        return cls((Platform.parse(text),), is_named=True) if text else cls(Platform.host().runs())

    def __str__(self) -> str:
        return str(self.platforms[0])


def choose(wanted: Sequence[Platform], offered: Iterable[Platform | None]) -> int | None:
    """The position in `offered` of the best match: the first that the earliest of `wanted` can have, else None."""
    there = [(position, platform_) for position, platform_ in enumerate(offered) if platform_ is not None]
    return next(
        (position for want in wanted for position, platform_ in there if want.serves(platform_)), None
    )


def _older(architecture: str, variant: str) -> list[tuple[str, str]]:
    """Architectures and variants that a processor runs besides its own, best first. The order is containerd's."""
    match = _NUMBERED.fullmatch(variant or ("v8" if architecture == "arm64" else "v1"))
    major, minor = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    if architecture == "amd64":
        return [*(("amd64", f"v{number}") for number in range(major - 1, 0, -1)), ("386", "")]
    if architecture == "arm":
        return [("arm", f"v{number}") for number in range(major - 1, 4, -1)]
    if architecture != "arm64":
        return []
    older = [("arm64", f"v{major}.{number}") for number in range(minor - 1, -1, -1)]
    if major == 9:  # it left the road of v8 at v8.5, and each step of it has the next one of v8 in it
        older += [("arm64", f"v8.{number}") for number in range(minor + 5, -1, -1)]
    return [*older, *(("arm", f"v{number}") for number in range(8 if major else 0, 4, -1))]


def _same_windows(host: str, made_for: str) -> bool:
    """Whether the build of Windows `host` runs what is made for another: empty is any."""
    if not host or not made_for or host.split(".")[:3] == made_for.split(".")[:3]:
        return True
    builds = [version.split(".")[2:3] for version in (host, made_for)]
    numbers = [int(build[0]) if build and build[0].isdecimal() else 0 for build in builds]
    return _STABLE_WINDOWS <= numbers[1] <= numbers[0]
