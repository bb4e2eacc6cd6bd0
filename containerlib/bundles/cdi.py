"""Devices by the Container Device Interface: what a vendor's files say that a container needs to use one.

    edits = find(("nvidia.com/gpu=0",), ("/etc/cdi", "/var/run/cdi"))
    spec = edited(spec, edits)

A specification is a file that ends in .json, .yaml or .yml; of one device that several directories describe the last
directory counts, and two files of one directory may not describe the same. YAML takes the extra `cdi`.

Spec: cncf-tags/container-device-interface SPEC.md, 0.3.0 to 1.1.0
"""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from containerlib.errors import InvalidArgument, NotFound, StageError, Unsupported

__all__ = ["Edits", "find", "find_gpus"]

GPU = "nvidia.com/gpu"
_VERSIONS = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
_KIND = re.compile(r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?/[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")
_SUFFIXES = (".json", ".yaml", ".yml")

Edits = Mapping[str, Any]
"""A `containerEdits` of a specification, as it stands there."""


@frozen
class _Device:
    name: str
    """Qualified: `"vendor/class=name"`."""
    edits: Edits
    common: Edits
    """What every device of its file needs."""
    file: str


def find(names: Sequence[str], directories: Sequence[str]) -> list[Edits]:
    """What is to be done for the devices of these qualified names; what they have in common, once.

    Raises: NotFound, with where it was sought; InvalidArgument for a specification that is none; Unsupported.
    """
    if not names:
        return []
    known, unread = _known(directories)
    edits: list[Edits] = []
    files: set[str] = set()
    for name in names:
        device = known.get(name)
        if device is None:
            raise _missing(name, known, directories, unread)
        if isinstance(device, str):
            raise InvalidArgument(
                f"{name} is described twice, by {device}: remove one of the files", field="device"
            )
        if device.file not in files:
            files.add(device.file)
            edits.append(device.common)
        edits.append(device.edits)
    return edits


def find_gpus(count: int, directories: Sequence[str]) -> tuple[str, ...]:
    """Qualified names of NVIDIA's GPUs: all with -1, else the first `count`. Raises: NotFound; as `find`."""
    if count == -1:
        return (f"{GPU}=all",)
    known, unread = _known(directories)
    numbers = sorted(int(n) for name in known if (n := name.removeprefix(f"{GPU}=")).isdecimal())
    if len(numbers) < count:
        raise NotFound(
            f"{count} GPUs were asked for, and there are {len(numbers)}: {_sought(directories, unread)}; "
            "`nvidia-ctk cdi generate --output=/etc/cdi/nvidia.json` describes those of this machine"
        )
    return tuple(f"{GPU}={number}" for number in numbers[:count])


def _missing(
    name: str, known: Mapping[str, object], directories: Sequence[str], unread: Sequence[str]
) -> Exception:
    if unread:
        return Unsupported(
            f"{name} is described by none of the JSON files of {', '.join(directories)}, and YAML ones "
            f"({', '.join(unread)}) take PyYAML: pip install 'containerlib[cdi]'"
        )
    kind = name.partition("=")[0]
    others = ", ".join(sorted(each for each in known if each.startswith(f"{kind}="))) or "none"
    return NotFound(
        f"there is no CDI device {name}: {_sought(directories, unread)}; known of {kind}: {others}"
    )


def _sought(directories: Sequence[str], unread: Sequence[str]) -> str:
    counts = {directory: len([*_files(directory)]) for directory in directories}
    places = [f"{directory} ({f'{n} files' if n else 'nothing there'})" for directory, n in counts.items()]
    return f"looked in {', '.join(places)}" + (
        f", without PyYAML not at {', '.join(unread)}" if unread else ""
    )


def _known(directories: Sequence[str]) -> tuple[dict[str, _Device | str], list[str]]:
    """Devices by name, or in a device's place the files that contradict each other; and what could not be read."""
    known: dict[str, _Device | str] = {}
    unread: list[str] = []
    for directory in directories:
        here: dict[str, _Device | str] = {}
        for path in _files(directory):
            document = _read(path)
            if document is None:
                unread.append(path)
                continue
            for device in _devices(document, path):
                other = here.get(device.name)
                if other is not None:
                    first = other if isinstance(other, str) else other.file
                    here[device.name] = f"{first} and {path}"
                else:
                    here[device.name] = device
        known.update(here)
    return known, unread


def _files(directory: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - a str
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StageError("device", error.errno or 0, directory) from error
    yield from (f"{directory}/{name}" for name in names if name.endswith(_SUFFIXES))


def _read(path: str) -> Any:
    """The document; None for YAML that nobody here can read."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        if path.endswith(".json"):
            return json.loads(data)
        try:
            yaml = importlib.import_module("yaml")  # an extra, whose types are another package
        except ImportError:
            return None
        return yaml.safe_load(data)
    except OSError as error:
        raise StageError("device", error.errno or 0, path) from error
    except Exception as error:  # of either parser
        raise _wrong(path, f"it is no document ({error})") from error


def _devices(document: Any, path: str) -> Iterator[_Device]:
    if not isinstance(document, dict):
        raise _wrong(path, "it is no mapping")
    version, kind = document.get("cdiVersion"), document.get("kind")
    if version not in _VERSIONS:
        raise Unsupported(
            f"the CDI specification {path} is of version {version!r}; known are {', '.join(_VERSIONS)}"
        )
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise _wrong(path, f"its kind is {kind!r}, and not vendor/class")
    common = _edits(document, path)
    devices = document.get("devices") or []
    if not isinstance(devices, list):
        raise _wrong(path, "its devices are no list")
    for device in devices:
        if not isinstance(device, dict) or not isinstance(device.get("name"), str):
            raise _wrong(path, "one of its devices has no name")
        yield _Device(f"{kind}={device['name']}", _edits(device, path), common, path)


def _edits(owner: Mapping[str, Any], path: str) -> Edits:
    edits = owner.get("containerEdits") or {}
    if not isinstance(edits, dict):
        raise _wrong(path, "containerEdits is no mapping")
    return edits


def _wrong(path: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"the CDI specification {path} is not one: {what}", field="device")
