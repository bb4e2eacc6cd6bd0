"""Who a container runs as: `"name"`, `"uid"`, `"user:group"`, by the image's own /etc/passwd and /etc/group.

The rules are Docker's: the first line that matches wins; a number is a number, also where a line has it for a name
(CVE-2016-3697, CVE-2026-46680), and needs no line; without a group the user's own group counts, and the groups that
list the user are supplementary; with a group they are not.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from attrs import frozen

from containerlib.bundles.layered import LayeredTree
from containerlib.errors import InvalidArgument, NotFound, StageError
from containerlib.spec.layer import Layer

__all__ = ["ResolvedUser", "resolve_user"]

_MAX_ID = 2**31 - 1


@frozen
class ResolvedUser:
    """Who a process runs as, in the kernel's numbers, and its home directory."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    """Supplementary groups, the primary one among them: what is denied to a group must stay denied."""
    home: str = "/"


@frozen
class _Passwd:
    name: str
    uid: int
    gid: int
    home: str


@frozen
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(
    text: str | None, layers: Sequence[str | Layer], groups: tuple[str, ...] = ()
) -> ResolvedUser:
    """The user that `text` (empty: root) names in the image whose layers, top first, are `layers`.

    `groups` are more supplementary ones, by name or number.

    Raises: NotFound for a name that the image lacks; InvalidArgument(field="user") for a number that is out
    of range; StageError where the files cannot be read.
    """
    user, _, group = (text or "").partition(":")
    try:
        return _resolve(user, group, groups, *_files(layers))
    except OSError as error:
        if isinstance(error, StageError):
            raise
        raise StageError("user", error.errno or 0, str(error.filename or "etc/passwd")) from error


def _files(layers: Sequence[str | Layer]) -> tuple[bytes | None, bytes | None]:
    """/etc/passwd and /etc/group. What is in a file that is named by its content is read once."""
    if all(isinstance(layer, Layer) and layer.fstype for layer in layers):
        return _read_once(tuple(layers))
    return _read(layers)


def _read(layers: Sequence[str | Layer]) -> tuple[bytes | None, bytes | None]:
    with LayeredTree(layers) as tree:
        return tree.read("etc/passwd"), tree.read("etc/group")


_read_once = functools.lru_cache(maxsize=32)(_read)


@functools.lru_cache(maxsize=32)
def _resolve(
    user: str, group: str, more: tuple[str, ...], passwd_file: bytes | None, group_file: bytes | None
) -> ResolvedUser:
    """Kept by the files' content: a start parses nothing, and a changed file counts at once."""
    users, groups = list(_passwd(passwd_file)), list(_groups(group_file))
    wanted = user or "0"
    named = None if _is_number(wanted) else wanted
    entry = next((e for e in users if (e.name == named if named else str(e.uid) == wanted)), None)
    if entry is None:
        entry = _Passwd("", _number(wanted, "user", "/etc/passwd"), 0, "/")
    if group:
        gid = _gid(group, groups)
        supplementary: list[int] = []
    else:
        gid = entry.gid
        supplementary = [g.gid for g in groups if entry.name and entry.name in g.members]
    supplementary += [_gid(name, groups) for name in more]
    return ResolvedUser(entry.uid, gid, tuple(dict.fromkeys([gid, *supplementary])), entry.home or "/")


def _gid(group: str, groups: Sequence[_Group]) -> int:
    named = None if _is_number(group) else next((g.gid for g in groups if g.name == group), None)
    return _number(group, "group", "/etc/group") if named is None else named


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str, kind: str, file: str) -> int:
    if not _is_number(text):
        raise NotFound(
            f"there is no {kind} {text!r} in the image's {file}: add it to the image, or give a number"
        )
    if int(text) > _MAX_ID:
        raise InvalidArgument(f"{text} is no id: the highest is {_MAX_ID}", field="user")
    return int(text)


def _passwd(data: bytes | None) -> Iterator[_Passwd]:
    for fields in _lines(data, 4):
        if _is_number(fields[2]) and _is_number(fields[3]):
            home = fields[5] if len(fields) > 5 else ""
            yield _Passwd(fields[0], int(fields[2]), int(fields[3]), home)


def _groups(data: bytes | None) -> Iterator[_Group]:
    for fields in _lines(data, 3):
        if _is_number(fields[2]):
            members = tuple(filter(None, fields[3].split(","))) if len(fields) > 3 else ()
            yield _Group(fields[0], int(fields[2]), members)


def _lines(data: bytes | None, least: int) -> Iterator[list[str]]:
    """Fields of each usable line; an id of more than ten digits, which no kernel takes, makes it unusable."""
    for line in (data or b"").decode(errors="replace").splitlines():
        fields = [field.strip() for field in line.split(":")]
        if len(fields) >= least and fields[0] and all(len(f) <= 10 for f in fields[2:least]):
            yield fields
