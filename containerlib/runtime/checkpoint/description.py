"""What is written beside CRIU's images: what of the container came from outside, so that it can be given again.

    containerlib.json       this Description
    descriptors.json        the streams alone, as runc and crun write and read them

A checkpoint of another runtime has no containerlib.json; then its configuration says as much.
"""

from __future__ import annotations

import json
import os

from containerlib._sys.writing import replace_file
from containerlib.errors import InvalidArgument, NotFound
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.checkpoint.mounts import BIND, NULL
from containerlib.spec.values import evolve, field, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from containerlib.spec.runtime import Spec

__all__ = ["Description", "FromOutside", "described_by", "read_description", "write_description"]

_FILE, _STREAMS, _PARENT = "containerlib.json", "descriptors.json", "parent"
_VERSION = 1


@frozen
class FromOutside:
    """A mount from outside. `kind`: as in mounts.py; `destination`: what the configuration calls its mountpoint;
    `options`: as mount(8) writes them, separated by commas."""

    kind: str
    destination: str
    options: str = ""


@frozen
class Description:
    """`outside`: by the mountpoint. `streams`: what the first process had at 0, 1 and 2, as /proc/PID/fd says it.
    `sizes`: of the images in bytes, also of those before by the link "parent"; CRIU waits for ever for what is missing
    of memory.
    """

    outside: Mapping[str, FromOutside]
    streams: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(factory=dict)

    def pack(self) -> bytes:
        outside = {path: [each.kind, each.destination, each.options] for path, each in self.outside.items()}
        fields = {"version": _VERSION, "outside": outside, "streams": self.streams, "sizes": dict(self.sizes)}
        return json.dumps(fields).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Description:
        """Raises: InvalidArgument."""
        try:
            fields: Any = json.loads(data)
            if fields["version"] != _VERSION:
                raise InvalidArgument(f"{_FILE} is of version {fields['version']}, and known is {_VERSION}")
            outside = {str(path): FromOutside(*map(str, each)) for path, each in fields["outside"].items()}
            sizes = {str(name): int(size) for name, size in fields["sizes"].items()}
            return cls(outside, tuple(map(str, fields["streams"])), sizes)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InvalidArgument):
                raise
            raise InvalidArgument(f"{_FILE} of the checkpoint is damaged: {error!r}") from error


def write_description(images: str, description: Description) -> None:
    """Beside the images, which are whole by now. Raises: StageError."""
    description = evolve(description, sizes=_sizes(images))
    replace_file(images, _STREAMS, json.dumps(description.streams).encode())
    replace_file(images, _FILE, description.pack())


def read_description(images: str, spec: Spec) -> Description:
    """That of the checkpoint in the directory `images`.

    Raises: NotFound where there is none; InvalidArgument where it is damaged.
    """
    if not os.path.exists(f"{images}/inventory.img"):  # noqa: PTH110 - a str
        raise NotFound(f"{images} has no checkpoint: inventory.img is not there")
    data = _read(f"{images}/{_FILE}")
    if data is not None:
        description = Description.unpack(data)
        _check_sizes(images, description)
        return description
    return described_by(spec, _read(f"{images}/{_STREAMS}") or b"[]")


def described_by(spec: Spec, streams: bytes) -> Description:
    """What a configuration says of a checkpoint of another runtime, with its descriptors.json."""
    outside = {}
    for mount in spec.get("mounts", ()):
        at, options = mount["destination"], mount.get("options", ())
        if mount.get("type") == "bind" or "bind" in options or "rbind" in options:
            outside[at] = FromOutside(BIND, at, ",".join(options))
        if mount.get("type") == "cgroup":
            outside |= {f"{at}/{name}": each for name, each in _hierarchies(at, ",".join(options))}
    for path in spec.get("linux", {}).get("maskedPaths", ()):
        outside[path] = FromOutside(NULL, path, "ro,nosuid,noexec")
    try:
        return Description(outside, tuple(map(str, json.loads(streams))))
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"{_STREAMS} of the checkpoint is damaged: {error}") from error


def _sizes(images: str) -> dict[str, int]:
    with os.scandir(images) as entries:
        found = {entry.name: entry.stat().st_size for entry in entries if entry.name.endswith(".img")}
    if os.path.isdir(f"{images}/{_PARENT}"):  # noqa: PTH112 - a str
        before = _sizes(f"{images}/{_PARENT}")
        found |= {f"{_PARENT}/{name}": size for name, size in before.items()}
    return found


def _check_sizes(images: str, description: Description) -> None:
    for name, size in description.sizes.items():
        try:
            found = os.stat(f"{images}/{name}").st_size  # noqa: PTH116 - a str
        except OSError:
            raise InvalidArgument(f"the checkpoint in {images} is damaged: {name} is missing") from None
        if found != size:
            raise InvalidArgument(
                f"the checkpoint in {images} is damaged: {name} has {found} bytes, not {size}"
            )


def _hierarchies(at: str, options: str) -> Iterator[tuple[str, FromOutside]]:
    """On v1 there is a mount for each, by its directory's name."""
    layout = Layout.host()
    places = dict(layout.v1) | ({"name=systemd": layout.systemd} if layout.systemd else {})
    for name, place in places.items():
        yield os.path.basename(place), FromOutside(f"cgroup:{name}", at, options)  # noqa: PTH119


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except FileNotFoundError:
        return None
