"""What the words about confinement and ids take. Pure, as words.py is.

Every function raises InvalidArgument with the word's name as its `field`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from containerlib.bundles.mounts import check_target
from containerlib.engine.words import container_path, text
from containerlib.engine.words_mounts import id_map
from containerlib.engine.words_names import file_path
from containerlib.engine.words_resources import number
from containerlib.errors import InvalidArgument
from containerlib.spec.options import UserNamespace
from containerlib.spec.secret import DIRECTORY, Secret

__all__ = ["apparmor", "label", "paths", "seccomp", "secret", "user_namespace"]

_PROFILE = re.compile(r"[^\s\0]{1,255}")
_LABEL = re.compile(r"[A-Za-z0-9_.]+:[A-Za-z0-9_.]+:[A-Za-z0-9_.]+(:[A-Za-z0-9_.:,-]+)?")
_SECRET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_LARGEST_NAMESPACE = 2**30

MAX_SECRET = 500 * 1024
"""Bytes, as in Docker."""

Seccomp = str | os.PathLike[str] | Mapping[str, object]


def seccomp(profile: Seccomp) -> dict[str, str | None]:
    """The options that say which profile: its text, or the file that has it."""
    if isinstance(profile, os.PathLike):
        return {"seccomp": "default", "seccomp_file": file_path(profile, field="seccomp")}
    if isinstance(profile, Mapping):
        if "defaultAction" not in profile:
            raise InvalidArgument("a seccomp profile says at least its defaultAction", field="seccomp")
        return {"seccomp": json.dumps(profile, sort_keys=True), "seccomp_file": None}
    return {"seccomp": text(profile, field="seccomp"), "seccomp_file": None}


def secret(
    name: str,
    value: bytes | os.PathLike[str],
    *,
    at: str | None,
    env: str | None,
    mode: int | None,
    uid: int | None,
    gid: int | None,
) -> Secret:
    """A file that is in memory only, or a variable."""
    if not _SECRET.fullmatch(text(name, field="secret")):
        raise InvalidArgument(f"{name!r} is not a name of letters, digits, '_', '.' and '-'", field="secret")
    facts: dict[str, Any] = {
        "mode": 0o400 if mode is None else number(mode, field="mode", least=0, most=0o777),
        "uid": number(uid or 0, field="uid", least=0, most=2**32 - 2),
        "gid": number(gid or 0, field="gid", least=0, most=2**32 - 2),
    }
    if env is not None:
        _check_variable(env, {"at": at, "mode": mode, "uid": uid, "gid": gid})
        place, facts["variable"] = "", env
    else:
        place = _secret_path(f"{DIRECTORY}/{name}" if at is None else at)
    if isinstance(value, os.PathLike):
        return Secret(name, place, source=file_path(value, field="secret"), **facts)
    if not isinstance(value, bytes):  # not shown: it may be the secret
        raise InvalidArgument(
            "its value is bytes, or the Path of a file: encode text, e.g. with .encode()", field="secret"
        )
    if len(value) > MAX_SECRET:
        raise InvalidArgument(
            f"{len(value)} bytes are more than {MAX_SECRET}: mount() a file instead", field="secret"
        )
    if env is not None and b"\0" in value:
        raise InvalidArgument("a variable has no NUL byte: let the secret be a file", field="secret")
    return Secret(name, place, value, **facts)


def _secret_path(at: str) -> str:
    path = check_target(container_path(at, field="at"), field="at")
    if path == DIRECTORY or DIRECTORY.startswith(f"{path}/"):
        raise InvalidArgument(f"{path} is a directory, in which secrets are: choose a file", field="at")
    return path


def _check_variable(name: str, of_files: Mapping[str, object]) -> None:
    if not text(name, field="env") or "=" in name:
        raise InvalidArgument(f"{name!r} is not the name of a variable", field="env")
    for field, value in of_files.items():
        if value is not None:
            raise InvalidArgument(f"{field} is of a file, and a variable is none", field=field)


def apparmor(profile: str) -> str | None:
    """A profile's name; "unconfined" is none."""
    if not _PROFILE.fullmatch(text(profile, field="apparmor")):
        raise InvalidArgument(
            f"{profile!r} is not the name of a profile: aa-status shows them", field="apparmor"
        )
    return None if profile == "unconfined" else profile


def label(value: str, *, field: str) -> str:
    """An SELinux context."""
    if not _LABEL.fullmatch(text(value, field=field)):
        raise InvalidArgument(f"{value!r} is not a label: user:role:type[:level]", field=field)
    return value


def paths(values: tuple[str, ...], *, field: str) -> tuple[str, ...]:
    """Absolute paths in the container, or "ALL"."""
    return tuple(
        dict.fromkeys(
            "ALL" if each == "ALL" and field == "unmask" else container_path(each, field=field)
            for each in values
        )
    )


def user_namespace(
    kind: str,
    *,
    size: int | None,
    uids: Sequence[tuple[int, int, int]] | None,
    gids: Sequence[tuple[int, int, int]] | None,
) -> UserNamespace:
    """Whose ids the container has."""
    if kind not in ("host", "auto", "keep-id", "maps"):
        raise InvalidArgument(f'{kind!r} is none of "host", "auto", "keep-id", "maps"', field="userns")
    if (uids is not None) != (kind == "maps"):
        need = "needs uids, e.g. uids=[(0, 100000, 65536)]" if kind == "maps" else "takes no uids"
        raise InvalidArgument(f'userns("{kind}") {need}', field="uids")
    if gids is not None and kind != "maps":
        raise InvalidArgument(f'userns("{kind}") takes no gids', field="gids")
    if size is not None and kind != "auto":
        raise InvalidArgument(f'size is a word of userns("auto"), not of "{kind}"', field="size")
    if kind == "auto":
        ids = 65_536 if size is None else number(size, field="size", least=1, most=_LARGEST_NAMESPACE)
        return UserNamespace("auto", size=ids)
    if uids is None:
        return UserNamespace(kind)
    return UserNamespace("maps", uids=_map(uids, "uids"), gids=_map(uids if gids is None else gids, "gids"))


def _map(value: Sequence[tuple[int, int, int]], field: str) -> tuple[tuple[int, int, int], ...]:
    try:
        found = id_map(list(value)) or ()
    except (InvalidArgument, TypeError) as error:
        raise InvalidArgument(
            f"{value!r} is not a map of ids: write e.g. [(0, 100000, 65536)]", field=field
        ) from error
    if not any(first == 0 for first, _, _ in found):
        raise InvalidArgument("the container's root, 0, is not in the map", field=field)
    for index in (0, 1):
        ranges = sorted((entry[index], entry[index] + entry[2]) for entry in found)
        if any(end > start for (_, end), (start, _) in itertools.pairwise(ranges)):
            raise InvalidArgument("two ranges of the map overlap", field=field)
    return found
