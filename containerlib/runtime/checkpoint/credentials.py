"""Credentials in the images of a checkpoint, compared with the kernel's before they are kept, and with a config.json.

    verify_dump(images, pid)                     # the processes are frozen: /proc/PID/status says what each of them has
    verify_restore(images, spec, is_own=False)   # before CRIU gives them to anybody

CRIU has a process report its user ids, groups, capabilities and no_new_privs by code that it puts into its memory. A
hostile program can answer in place of that code (CVE-2026-18107). Images that somebody else made can have any
credentials (CVE-2026-95837, CVE-2026-92574, CVE-2024-8676).

Spec: criu images/core.proto, creds.proto, pstree.proto, seccomp.proto; proc_pid_status(5); capabilities(7)
"""

from __future__ import annotations

import errno
import os

from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime.checkpoint.image import read_messages
from containerlib.runtime.checkpoint.protobuf import BYTES, NUMBER, Field, Table, decode
from containerlib.runtime.plan.capabilities import mask
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from containerlib.spec.runtime import Process, Spec

__all__ = ["Credentials", "verify_dump", "verify_restore"]

_CORE, _TREE, _SECCOMP = 0x55053847, 0x50273030, 0x64413049
_DEAD = 2
"""The task_state of a zombie, which never runs again and has no credentials."""
_FILTERED = 2
"""SECCOMP_MODE_FILTER"""
_IDS = ("uid", "gid", "euid", "egid", "suid", "sgid", "fsuid", "fsgid")
_SETS = ("inheritable", "permitted", "effective", "bounding", "ambient")
_IMAGE_SETS = ("cap_inh", "cap_prm", "cap_eff", "cap_bnd", "cap_amb")
_STATUS_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_CREDENTIALS: Table = {
    **{name: Field(number, NUMBER) for number, name in enumerate(_IDS, 1)},
    **{name: Field(number, NUMBER, repeated=True) for number, name in enumerate(_IMAGE_SETS[:4], 9)},
    "groups": Field(14, NUMBER, repeated=True),
    "no_new_privs": Field(18, NUMBER),
    "cap_amb": Field(19, NUMBER, repeated=True),
}
_THREAD: Table = {
    "creds": Field(10, _CREDENTIALS),
    "seccomp_mode": Field(11, NUMBER),
    "seccomp_filter": Field(12, NUMBER),
}
_TASK: Table = {"task_state": Field(1, NUMBER)}
_CORE_TABLE: Table = {"tc": Field(3, _TASK), "thread_core": Field(5, _THREAD)}
_PROCESS: Table = {"pid": Field(1, NUMBER), "threads": Field(5, NUMBER, repeated=True)}
_FILTER: Table = {"filter": Field(1, BYTES), "prev": Field(2, NUMBER)}
_SECCOMP_TABLE: Table = {"seccomp_filters": Field(1, _FILTER, repeated=True)}


@frozen
class Credentials:
    """Of one thread. `uids` and `gids`: real, effective, saved and file system's; `capabilities`: by set, as bits."""

    uids: tuple[int, ...]
    gids: tuple[int, ...]
    groups: tuple[int, ...]
    capabilities: Mapping[str, int]
    no_new_privs: bool
    seccomp_mode: int


@frozen
class _Thread:
    """A thread of the images. `last_filter`: the index of the filter that it loaded last."""

    credentials: Credentials
    last_filter: int


def verify_dump(images: str, pid: int) -> None:
    """Compares the credentials in `images` with those that the kernel has for the process `pid` and its descendants.

    The processes must be stopped. User and group ids are left out where these are in another user namespace than the
    caller: the kernel shows the caller's.

    Raises: StageError(stage="dump", errno=EPERM) for a thread whose credentials differ; InvalidArgument for images that
    cannot be read.
    """
    running = dict(_running(pid))
    compare_ids = os.readlink(f"/proc/{pid}/ns/user") == os.readlink("/proc/self/ns/user")  # noqa: PTH115
    for number, thread in _threads(images).items():
        found = _differences(thread.credentials, running.get(number), compare_ids=compare_ids)
        if found:
            raise StageError(
                "dump",
                errno.EPERM,
                f"thread {number}",
                advice=f"its image has other credentials than the kernel ({', '.join(found)}): the program has "
                "interfered with its checkpoint, which is discarded",
            )


def verify_restore(images: str, spec: Spec, *, is_own: bool = True) -> None:
    """Refuses `images` with credentials that processes of the configuration `spec` cannot have.

    These are: capabilities outside all sets of `spec`; no_new_privs or seccomp not set where `spec` sets them; and with
    noNewPrivileges and without CAP_SETUID (CAP_SETGID), user (group) ids other than those of `spec`. Where the images
    are not `is_own`, each thread must have the very filter that is compiled from `spec`, below any others.

    Raises: InvalidArgument(field="checkpoint").
    """
    program = _program(spec) if not is_own else None
    filters = _filters(images) if program else ()
    for number, thread in _threads(images).items():
        found = [*_excess(thread.credentials, spec)]
        if program is not None and program not in _chain(filters, thread.last_filter):
            found.append("a seccomp filter that is not compiled from its profile")
        if found:
            raise InvalidArgument(
                f"the checkpoint gives its thread {number} more than its configuration: {'; '.join(found)}",
                field="checkpoint",
            )


# ---- the images ----


def _threads(images: str) -> dict[int, _Thread]:
    """Each thread of the images, by its number in the container's pid namespace, but zombies."""
    found = {}
    for data in read_messages(f"{images}/pstree.img", _TREE):
        process = decode(_PROCESS, data)
        pid, threads = process.get("pid", 0), process.get("threads", ())
        first = _core(images, pid)
        if first.get("tc", {}).get("task_state") == _DEAD:
            continue  # the number of its thread is not set
        if pid not in threads:
            raise InvalidArgument(
                f"pstree.img has the process {pid} without its first thread", field="checkpoint"
            )
        cores = {number: _core(images, number) for number in threads if number != pid}
        filtered = first.get("thread_core", {})
        if any("seccomp_mode" in each.get("thread_core", {}) for each in cores.values()):
            filtered = {}  # each thread has its own filters, else all have those of the first
        found[pid] = _thread(first, pid, {})
        found |= {number: _thread(core, number, filtered) for number, core in cores.items()}
    return found


def _core(images: str, number: int) -> dict[str, Any]:
    """Raises: InvalidArgument; StageError."""
    messages = read_messages(f"{images}/core-{number}.img", _CORE)
    if len(messages) != 1:
        raise InvalidArgument(f"core-{number}.img has {len(messages)} messages", field="checkpoint")
    return decode(_CORE_TABLE, messages[0])


def _thread(core: Mapping[str, Any], number: int, filtered: Mapping[str, Any]) -> _Thread:
    """`filtered`: what has its mode of seccomp, where it does not say. Raises: InvalidArgument."""
    own = core.get("thread_core", {})
    creds = own.get("creds")
    if creds is None or not all(each in creds for each in _IDS):
        raise InvalidArgument(f"core-{number}.img has no credentials", field="checkpoint")
    ids = [creds[each] for each in _IDS]
    sets = {ours: _bits(creds.get(theirs, ())) for ours, theirs in zip(_SETS, _IMAGE_SETS, strict=True)}
    of = own if "seccomp_mode" in own else filtered
    mode = of.get("seccomp_mode", 0)
    credentials = Credentials(
        tuple(ids[0::2]),
        tuple(ids[1::2]),
        tuple(sorted(creds.get("groups", ()))),
        sets,
        bool(creds.get("no_new_privs", 0)),
        mode,
    )
    return _Thread(credentials, of.get("seccomp_filter", 0) if mode == _FILTERED else -1)


def _bits(words: Sequence[int]) -> int:
    """Of a set of capabilities, which is written as words of 32 bits."""
    return sum((word & 0xFFFFFFFF) << 32 * position for position, word in enumerate(words))


def _filters(images: str) -> Sequence[Mapping[str, Any]]:
    if not os.path.exists(f"{images}/seccomp.img"):  # noqa: PTH110 - a str
        return ()
    messages = read_messages(f"{images}/seccomp.img", _SECCOMP)
    return [each for data in messages for each in decode(_SECCOMP_TABLE, data).get("seccomp_filters", ())]


def _chain(filters: Sequence[Mapping[str, Any]], last: int) -> Iterator[bytes]:
    """The programs that a thread has loaded, the last one first."""
    at: int | None = last
    for _ in filters:
        if at is None or not 0 <= at < len(filters):
            return
        yield filters[at].get("filter", b"")
        at = filters[at].get("prev")


# ---- the kernel ----


def _running(pid: int) -> Iterator[tuple[int, Credentials]]:
    """Credentials of the process, its threads and its descendants, by their numbers in its pid namespace."""
    depth = len(_status(f"/proc/{pid}/status")["NSpid"].split())
    waiting = [pid]
    while waiting:
        process = waiting.pop()
        for task in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208
            status = _status(f"/proc/{process}/task/{task}/status")
            yield int(status["NSpid"].split()[depth - 1]), _of_status(status)
            with open(f"/proc/{process}/task/{task}/children", encoding="ascii") as file:
                waiting += map(int, file.read().split())


def _status(path: str) -> dict[str, str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def _of_status(status: Mapping[str, str]) -> Credentials:
    return Credentials(
        tuple(map(int, status["Uid"].split())),
        tuple(map(int, status["Gid"].split())),
        tuple(sorted(map(int, status["Groups"].split()))),
        {ours: int(status[theirs], 16) for ours, theirs in zip(_SETS, _STATUS_SETS, strict=True)},
        status["NoNewPrivs"] == "1",
        int(status.get("Seccomp", "0")),
    )


def _differences(image: Credentials, kernel: Credentials | None, *, compare_ids: bool) -> list[str]:
    if kernel is None:
        return ["no such thread runs"]
    pairs: dict[str, tuple[object, object]] = {
        f"{name} capabilities": (image.capabilities[name], kernel.capabilities[name]) for name in _SETS
    }
    pairs["no_new_privs"] = image.no_new_privs, kernel.no_new_privs
    pairs["seccomp"] = image.seccomp_mode, kernel.seccomp_mode
    if compare_ids:
        pairs["user ids"] = image.uids, kernel.uids
        pairs["group ids"] = image.gids, kernel.gids
        pairs["groups"] = image.groups, kernel.groups
    return [name for name, (ours, theirs) in pairs.items() if ours != theirs]


# ---- the configuration ----


def _excess(has: Credentials, spec: Spec) -> Iterator[str]:
    """What no process of the configuration can have."""
    process = spec["process"]
    ceiling = _ceiling(process)
    for name, bits in has.capabilities.items():
        if ceiling is not None and bits & ~ceiling:
            yield f"{name} capabilities 0x{bits & ~ceiling:x}"
    if spec.get("linux", {}).get("seccomp") and has.seccomp_mode != _FILTERED:
        yield "no seccomp filter"
    if not process.get("noNewPrivileges"):
        return
    if not has.no_new_privs:
        yield "no_new_privs is not set"
    user = process["user"]
    groups = {user["gid"], *user.get("additionalGids", ())}
    kept = -1 if ceiling is None else ceiling
    if not kept & mask(["CAP_SETUID"]) and set(has.uids) - {user["uid"]}:
        yield f"user ids {sorted(set(has.uids))}"
    if not kept & mask(["CAP_SETGID"]) and (set(has.gids) | set(has.groups)) - groups:
        yield f"group ids {sorted(set(has.gids) | set(has.groups))}"


def _ceiling(process: Process) -> int | None:
    """All capabilities that a process of it can get; None where the configuration does not limit them."""
    sets = process.get("capabilities")
    if sets is None:
        return None
    return mask({name for names in sets.values() for name in names or ()})  # type: ignore[attr-defined]


def _program(spec: Spec) -> bytes | None:
    section = spec.get("linux", {}).get("seccomp")
    if not section:
        return None
    from containerlib.runtime.seccomp.filters import compiled  # noqa: PLC0415 - no other restore needs it

    return compiled(section)
