"""$HOME of a process without one, or with an empty one: its user's in the container's own /etc/passwd, or "/".

Not the specification's, but every runtime does it, and engines count on it.
"""

from __future__ import annotations

import os
import stat

from containerlib._sys.paths import open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Process

__all__ = ["add_home"]

_FILE = "/etc/passwd"
_LARGEST = 1 << 20
_UID, _HOME, _FIELDS = 2, 5, 7


def add_home(process: Process, root: str) -> None:
    """Adds HOME to the environment where it is missing or empty. `root`: the container's, as this process sees it."""
    env = process.get("env") or []
    given = [entry for entry in env if entry.startswith("HOME=")]
    if given and given[-1] != "HOME=":
        return
    home = _home(_read(root), process.get("user", {}).get("uid", 0))
    process["env"] = [*(entry for entry in env if entry not in given), f"HOME={home}"]


def _home(passwd: bytes, uid: int) -> str:
    wanted = str(uid).encode()
    for line in passwd.split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= _FIELDS and fields[_UID] == wanted and b"\0" not in line:
            return os.fsdecode(fields[_HOME]) or "/"
    return "/"


def _read(root: str) -> bytes:
    """The file, if it is one: what the container has in its place may be a pipe, or a way out."""
    try:
        directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        fd = open_in_root(directory, _FILE, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return b""
    finally:
        os.close(directory)
    try:
        return os.read(fd, _LARGEST) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)
