"""Checks and normal forms of what a recipe's words take: pure, and before anything is done.

Every function raises InvalidArgument with the word's name as its `field`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from containerlib.engine.signals import parse_signal
from containerlib.errors import InvalidArgument
from containerlib.spec.options import (
    COMPRESSIONS,
    MANIFEST_FORMATS,
    SNAPSHOTTERS,
    Compression,
    ManifestFormat,
    SnapshotterName,
)
from containerlib.units import check_kind

__all__ = [
    "age",
    "any_path",
    "argv",
    "capabilities",
    "command",
    "compression",
    "container_path",
    "data",
    "driver",
    "flag",
    "host_path",
    "hostname",
    "merge_pairs",
    "moment",
    "seconds",
    "state_directory",
    "stop_signal",
    "terminal_side",
    "text",
    "timeout",
    "user",
    "vector",
]

_CAPABILITIES = (
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE "
    "DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN "
    "MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID "
    "SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE "
    "SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM"
)
_HOST_LABEL = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?")
_LONGEST = 2**31 // 1000
"""Seconds in the milliseconds of poll(2): 24 days."""


def text(value: str, *, field: str) -> str:
    """`value` where it is a str that the kernel can take."""
    check_kind(value, str, want=f"a str{_text_advice(value)}", field=field)
    if "\0" in value:
        raise InvalidArgument(f"{value!r} holds a NUL byte", field=field)
    if not value.isascii():
        _check_bytes(value, field)
    return value


def _text_advice(value: object) -> str:
    if isinstance(value, list | tuple):
        return ": put a * before it, or write each of its words as an argument of its own"
    return f": write {str(value)!r}" if isinstance(value, int | float | os.PathLike) else ""


def _check_bytes(value: str, field: str) -> None:
    try:
        os.fsencode(value)
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{value!r} holds {value[error.start]!r}, which is no character", field=field
        ) from error


def driver(value: str) -> str:
    """The name of a program, or its absolute path."""
    name = text(value, field="driver")
    if name == "docker":
        raise InvalidArgument(
            '\'docker\' is no OCI runtime: write "native", or "runc", which docker itself runs',
            field="driver",
        )
    if not name or name.startswith("-") or ("/" in name and not name.startswith("/")):
        raise InvalidArgument(
            f'{name!r} is not a driver: write "native", "runc", "crun", "runsc", or the absolute path of a runtime',
            field="driver",
        )
    return name


def snapshotter(value: str) -> SnapshotterName:
    """The name of a snapshotter, or "auto"."""
    name = text(value, field="snapshotter")
    if name not in SNAPSHOTTERS:
        known = ", ".join(f'"{each}"' for each in SNAPSHOTTERS)
        raise InvalidArgument(f"{name!r} is not a snapshotter: write one of {known}", field="snapshotter")
    return name


def flag(value: bool, *, field: str) -> bool:
    """True or False: a str such as "no" would count as yes."""
    check_kind(value, bool, want="True or False", field=field)
    return value


def user(value: str | int, *, field: str = "user") -> str:
    """A name, a number or `"user:group"`."""
    check_kind(value, int, str, want='a user: write a name, a number or "user:group"', field=field)
    if isinstance(value, int) and value < 0:
        raise InvalidArgument(f"{value} is not a user: no user's number is negative", field=field)
    return text(str(value), field=field)


def data(value: bytes | None, *, field: str = "input") -> bytes | None:
    """What a program is given to read."""
    advice = ": encode it, e.g. with .encode()" if isinstance(value, str) else ""
    check_kind(value, bytes, bytearray, type(None), want=f"bytes{advice}", field=field)
    return value


def argv(words: tuple[str, ...], *, field: str = "argv") -> tuple[str, ...]:
    """An argument vector: one str a word, never a shell line."""
    for word in words:
        text(word, field=field)
    return words


def vector(words: Sequence[str], *, field: str) -> tuple[str, ...]:
    """Several words, an argument vector for one, that are given as one value."""
    if isinstance(words, str):
        advice = f"write {field}={tuple(words.split())!r}"
        raise InvalidArgument(f"{words!r} is one str and not a sequence of them: {advice}", field=field)
    check_kind(words, Sequence, want="a sequence of str: a list or a tuple", field=field)
    return argv(tuple(words), field=field)


def compression(value: str) -> Compression:
    """How a layer is written."""
    if value not in COMPRESSIONS:
        raise InvalidArgument(
            f"{value!r} is none of {', '.join(map(repr, COMPRESSIONS))}", field="compression"
        )
    return value


def manifest_format(value: str | None) -> ManifestFormat | None:
    """In whose words a manifest is written; None for as it came."""
    if value is not None and value not in MANIFEST_FORMATS:
        raise InvalidArgument(
            f"{value!r} is none of {', '.join(map(repr, MANIFEST_FORMATS))}", field="manifest_format"
        )
    return value


def command(words: tuple[str, ...], *, field: str = "argv") -> tuple[str, ...]:
    """An argument vector with a program in it."""
    if not words or not words[0]:
        raise InvalidArgument("there is no program to run: give its name and arguments", field=field)
    return argv(words, field=field)


def merge_pairs(
    old: tuple[tuple[str, str], ...],
    mapping: Mapping[str, str] | None,
    more: Mapping[str, str],
    *,
    field: str,
) -> tuple[tuple[str, str], ...]:
    """`old` with the pairs of both mappings: a name that is there keeps its place and takes the new value."""
    check_kind(
        mapping, Mapping, type(None), want='a mapping of names to values, e.g. {"NAME": "value"}', field=field
    )
    merged = dict(old)
    for name, value in {**(mapping or {}), **more}.items():
        if not text(name, field=field) or (field == "env" and "=" in name):
            raise InvalidArgument(f"{name!r} is not a name", field=field)
        merged[name] = text(value, field=field)
    return tuple(merged.items())


def capabilities(names: tuple[str, ...], *, field: str) -> tuple[str, ...]:
    """`("net_admin", "CAP_KILL")` as `("CAP_NET_ADMIN", "CAP_KILL")`; `"ALL"` stays."""
    normal: dict[str, None] = {}
    for name in names:
        short = text(name, field=field).upper().removeprefix("CAP_")
        if short == "ALL":
            normal["ALL"] = None
        elif short in _CAPABILITIES.split():
            normal[f"CAP_{short}"] = None
        else:
            raise InvalidArgument(f"{name!r} is not a capability: see capabilities(7)", field=field)
    return tuple(normal)


def container_path(path: str | os.PathLike[str], *, field: str) -> str:
    """An absolute path inside the container, normalised."""
    value = any_path(path, field=field)
    if not value.startswith("/"):
        raise InvalidArgument(f'{value!r} is not an absolute path: write "/{value}"', field=field)
    return "/" + os.path.normpath(value).lstrip("/")


def host_path(path: str | os.PathLike[str], *, field: str) -> str:
    """An absolute path on the host. A relative one would depend on where the program happens to run."""
    value = any_path(path, field=field)
    if not value.startswith("/"):
        raise InvalidArgument(
            f"{value!r} is not an absolute path: write Path({value!r}).resolve(), "
            f"or engine.volume({value!r}) where a volume is meant",
            field=field,
        )
    return value


def any_path(path: str | os.PathLike[str], *, field: str) -> str:
    """A path as a str."""
    check_kind(path, str, os.PathLike, want="a path: write a str or a Path", field=field)
    return text(os.fspath(path), field=field)


def state_directory(path: str | os.PathLike[str], *, field: str) -> str:
    """Where an engine keeps its state. A URL would be taken for a directory of that name."""
    value = any_path(path, field=field)
    if "://" in value:
        raise InvalidArgument(
            f"{value!r} is a URL, and there is no daemon to talk to: give a directory, or nothing for the default one",
            field=field,
        )
    return value


def hostname(name: str) -> str:
    """A host name of RFC 1123, with '_' as Docker allows; at most 63 bytes, the kernel's bound is 64."""
    labels = text(name, field="hostname").split(".")
    if len(name) > 63 or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise InvalidArgument(f"{name!r} is not a host name of at most 63 characters", field="hostname")
    return name


def seconds(value: float, *, field: str = "timeout") -> float:
    """A duration."""
    check_kind(value, int, float, want="a number of seconds", field=field)
    if not 0 <= value < _LONGEST:
        raise InvalidArgument(f"{value!r} is not a number of seconds from 0 to {_LONGEST}", field=field)
    return float(value)


def timeout(value: float | None) -> float | None:
    """How long a verb may take; None: as long as it does."""
    return None if value is None else seconds(value)


def age(value: float | None, *, field: str) -> float | None:
    """How long ago, in seconds; None: whatever it is."""
    check_kind(value, int, float, type(None), want="a number of seconds", field=field)
    if value is not None and not value >= 0:
        raise InvalidArgument(f"{value!r} is not a number of seconds from 0 on", field=field)
    return value


def moment(value: datetime | timedelta | None, *, field: str) -> datetime | None:
    """A point in time that is the same everywhere; a timedelta is so long ago."""
    check_kind(value, datetime, timedelta, type(None), want="a datetime or timedelta", field=field)
    if isinstance(value, timedelta):
        return datetime.now(UTC) - value
    if value is not None and value.utcoffset() is None:
        raise InvalidArgument(
            f"{value.isoformat()} has no time zone: write e.g. datetime.now(UTC), or .astimezone()",
            field=field,
        )
    return value


def terminal_side(value: int, *, field: str) -> int:
    """Rows or columns of a terminal."""
    check_kind(value, int, want="a number of character cells, an int", field=field)
    if not 0 <= value < 1 << 16:
        raise InvalidArgument(f"{value} is not a number of character cells: from 0 to 65535", field=field)
    return value


def stop_signal(value: int | str) -> str:
    """A signal as the text that image configurations have: its number."""
    return str(parse_signal(value, field="stop_signal"))
