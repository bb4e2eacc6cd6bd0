"""Containers of an ordinary user: this process becomes root of a user namespace, and of nothing else.

    import containerlib as cl

    cl.rootless.enter()                         # at the start of the program, before there are threads
    with cl.Engine() as engine: ...             # as root's, but for what docs/rootless.md says

    python -m containerlib.rootless jupyter lab         # where threads are there before your code is

Root in there is the user, on files and to others; the ids of images' other users are those that the host has set aside
for the user. All of a user's processes that enter are in one namespace, for as long as one of them or of their
containers lives: so each of them can reach what another one has started.

    caller (one thread)                          holder
      clone(CLONE_NEWUSER | CLONE_NEWNS)  ---->    sleeps
      newuidmap, newgidmap PID ...                 is mapped
      setns(user), setns(mnt)                      is killed

The user's next process looks in /proc for one that is in the namespaces whose numbers are noted, and joins it there.

Spec: user_namespaces(7), newuidmap(1), subuid(5)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import sys
from collections.abc import Iterator, Sequence

from containerlib._sys.native import Holder, join
from containerlib._sys.privilege import in_user_namespace
from containerlib._sys.subids import SUBGID, SUBUID, granted
from containerlib.errors import StageError, Unsupported
from containerlib.runtime.containers.rootless import mapper_of_caller

__all__ = ["enter"]

_KINDS = {"user": 0x1000_0000, "mnt": 0x0002_0000}
"""CLONE_NEWUSER and CLONE_NEWNS, in the order in which they are joined."""
_ADVICE = (
    "apt-get install uidmap, and have root give the user ids: "
    "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"
)


def enter() -> None:
    """From here on this process, which has one thread, is root of its user's namespace. Root itself stays as it is.

    `os.getuid()` is 0, and the user's own files are root's. Programs that it starts are in there too.

    Raises: Unsupported where there are threads, where the host gives the user no ids or newuidmap is not installed;
    StageError where the kernel refuses a step.
    """
    if os.geteuid() == 0:
        return
    if (threads := len(os.listdir("/proc/self/task"))) > 1:  # noqa: PTH208
        raise Unsupported(
            f"only a process of one thread can enter a user namespace, and this one has {threads}: call it first of "
            "all, or start the program with `python -m containerlib.rootless PROGRAM`"
        )
    with _noted() as note:
        found = _find(note)
        _join(_make(note) if found is None else found)


@contextlib.contextmanager
def _noted() -> Iterator[int]:
    """The file with the numbers of the user's namespaces, with nobody else at it."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111
    path = f"{data}/containerlib/user-namespace"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
        note = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StageError(
            "state", error.errno or 0, path, advice="choose another place with XDG_DATA_HOME"
        ) from error
    try:
        fcntl.flock(note, fcntl.LOCK_EX)
        yield note
    finally:
        os.close(note)


def _find(note: int) -> list[int] | None:
    """Descriptors of the namespaces that are noted, of a process that is in both; None where nobody is."""
    wanted = os.pread(note, 64, 0).split()
    for pid in os.listdir("/proc") if len(wanted) == len(_KINDS) else ():  # noqa: PTH208
        if pid.isdecimal():
            namespaces = _opened(pid)
            numbers = [str(os.fstat(each).st_ino).encode() for each in namespaces]
            if numbers == wanted and _is_mapped(pid):
                return namespaces
            _close(namespaces)
    return None


def _is_mapped(pid: str) -> bool:
    """As `_make` does. The numbers of those that are gone are given anew: to a sandbox of the user's, with one id."""
    try:
        with open(f"/proc/{pid}/uid_map", encoding="ascii") as file:
            words = file.read().split()
    except OSError:
        return False
    return words[:3] == ["0", str(os.getuid()), "1"] and len(words) > 3


def _opened(pid: str) -> list[int]:
    """Of a process of somebody else's, or one that has ended, none."""
    namespaces: list[int] = []
    try:
        for kind in _KINDS:
            namespaces.append(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        _close(namespaces)
        return []
    return namespaces


def _make(note: int) -> list[int]:
    """New ones, which are noted. Raises: Unsupported; StageError."""
    maps = _maps()
    holder = Holder()
    try:
        try:
            holder.start(sum(_KINDS.values()))
        except OSError as error:
            raise StageError(
                "namespace",
                error.errno or 0,
                "user",
                advice="may users make them? See the sysctls user.max_user_namespaces, "
                "kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns",
            ) from error
        for program, words in maps:
            _run([program, str(holder.pid), *words])
        namespaces = _opened(str(holder.pid))
        os.ftruncate(note, 0)
        os.pwrite(note, b" ".join(str(os.fstat(each).st_ino).encode() for each in namespaces), 0)
        return namespaces
    finally:
        holder.end()


def _maps() -> list[tuple[str, list[str]]]:
    """The programs that map the ids, and what they are told: root is the user, and the others follow.

    Raises: Unsupported.
    """
    mapper = mapper_of_caller()
    owners = [str(os.getuid())]
    with contextlib.suppress(KeyError):
        owners.append(pwd.getpwuid(os.getuid()).pw_name)
    found = []
    for path, own, program in (
        (SUBUID, os.getuid(), mapper and mapper.newuidmap),
        (SUBGID, os.getgid(), mapper and mapper.newgidmap),
    ):
        ranges = granted(path, owners)
        if not program or not ranges:
            lack = f"{path} gives none to {owners[-1]}" if program else "newuidmap is not installed"
            raise Unsupported(
                f"images have files of many users, and this one has a single id: {lack}; {_ADVICE}"
            )
        found.append((program, _words(own, ranges)))
    return found


def _words(own: int, ranges: Sequence[tuple[int, int]]) -> list[str]:
    words, first = ["0", str(own), "1"], 1
    for start, count in ranges:
        words += [str(first), str(start), str(count)]
        first += count
    return words


def _run(argv: Sequence[str]) -> None:
    import subprocess  # noqa: PLC0415 - nobody needs it whose namespace is there

    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StageError(
            "namespace", 0, f"{argv[0]}: {done.stderr.strip() or done.returncode}", advice=_ADVICE
        )


def _join(namespaces: list[int]) -> None:
    """Into each, at the same place in the file system."""
    here = os.getcwd()  # noqa: PTH109
    try:
        for descriptor, flag in zip(namespaces, _KINDS.values(), strict=True):
            join(descriptor, flag)
    except OSError as error:
        raise StageError("namespace", error.errno or 0, "of the user's other processes") from error
    finally:
        _close(namespaces)
    in_user_namespace.cache_clear()
    with contextlib.suppress(OSError):  # nobody can promise that it is there
        os.chdir(here)


def _close(descriptors: Sequence[int]) -> None:
    for each in descriptors:
        os.close(each)


def _main(argv: list[str]) -> None:
    """Becomes the program."""
    if not argv:
        raise SystemExit("usage: python -m containerlib.rootless PROGRAM [ARGUMENT...]")
    enter()
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        raise SystemExit(f"{argv[0]}: {error.strerror}") from error


if __name__ == "__main__":
    _main(sys.argv[1:])
