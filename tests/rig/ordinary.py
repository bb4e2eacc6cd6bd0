"""Programs of an ordinary user, who reaches this interpreter even where it is in a home that is closed to others.

user = User(tmp_path, busybox_image())                          # with ids and a home, in which the image is
user.run('print(box.run("id").text)')
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from shlex import quote

import containerlib
from rig.images import Image
from rig.user_namespaces import open_parents

__all__ = ["FIRST", "MANY", "USER", "User", "as_user"]

USER, FIRST, MANY = 54_321, 700_000, 65_536
"""Of a `User`, and of its other ids the first, and how many."""
PRELUDE = """
import os, sys
import containerlib as cl
from containerlib import rootless
rootless.enter()
engine = cl.Engine(os.environ["HOME"] + "/root")
box = engine.container((engine.images.list() or engine.images.load(os.environ["HOME"] + "/image"))[0])
"""


class User:
    """Somebody with a home and ids of their own, and an image. `group`: the directory of the group to be in."""

    def __init__(self, directory: Path, image: Image, group: str | None = None) -> None:
        self.home = directory / "home"
        self.home.mkdir()
        image.write_layout(self.home / "image")
        open_parents(directory)
        subprocess.run(["chown", "-hR", f"{USER}:{USER}", self.home], check=True)
        join = ("sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', group)
        self.prefix = () if group is None else join
        self.environment = {
            **os.environ,
            "HOME": str(self.home),
            "XDG_DATA_HOME": f"{self.home}/data",
            "PYTHONSAFEPATH": "1",
        }

    def popen(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.prefix, *as_user(USER, *argv, ids=(FIRST, MANY))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def start(self, code: str) -> subprocess.Popen[str]:
        """A program with `engine`, and `box`, a recipe of busybox, at hand."""
        return self.popen(sys.executable, "-c", PRELUDE + textwrap.dedent(code))

    def run(self, code: str) -> str:
        """What it printed."""
        output, errors, status = self._done(code)
        assert status == 0, errors
        return output

    def refused(self, code: str) -> str:
        """The last line of what it raised."""
        _, errors, status = self._done(code)
        assert status == 1, errors
        return errors.strip().splitlines()[-1]

    def _done(self, code: str) -> tuple[str, str, int]:
        with self.start(code) as process:
            try:
                return *process.communicate(timeout=60), process.returncode
            except BaseException:
                process.kill()
                raise


def as_user(user: int, *argv: str | os.PathLike[str], ids: tuple[int, int] | None = None) -> list[str]:
    """The command that runs `argv` as that user, in the group of that number alone, without capabilities.

    `ids`: (first, how many) that /etc/subuid and /etc/subgid give the user, who is in /etc/passwd then.

    What is closed on the way to the interpreter and the tests is open in a mount namespace of the program's own,
    as an overlay: the directories themselves stay as they are. So are devices that are everybody's where udev is.
    """
    words = [
        "setpriv",
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        *(os.fspath(word) for word in argv),
    ]
    closed = _closed_directories()
    steps = ["mount -t tmpfs -o mode=755 tmpfs /mnt"]
    for number, device in enumerate(_closed_devices()):
        node = f"/mnt/device-{number}"
        number_of = device.stat().st_rdev
        steps += [
            f"mknod -m 666 {node} c {os.major(number_of)} {os.minor(number_of)}",
            f"mount --bind {node} {device}",
        ]
    if ids is not None:
        steps += _added("passwd", f"somebody:x:{user}:{user}::/nonexistent:/bin/sh")
        steps += _added("subuid", f"{user}:{ids[0]}:{ids[1]}")
        steps += _added("subgid", f"{user}:{ids[0]}:{ids[1]}")
    if not closed and len(steps) == 1:
        return words
    for number, place in enumerate(closed):
        upper, work = f"/mnt/{number}/upper", f"/mnt/{number}/work"
        options = f"lowerdir={place},upperdir={upper},workdir={work}"
        steps += [
            f"mkdir -p {upper} {work}",
            f"mount -t overlay -o {quote(options)} overlay {quote(place)}",
            f"chmod o+x {quote(place)}",
        ]
    steps += ["umount --lazy /mnt", 'exec "$@"']
    return ["unshare", "--mount", "--propagation=slave", "sh", "-c", " && ".join(steps), "sh", *words]


def _added(name: str, line: str) -> list[str]:
    """A line more in a file of /etc."""
    return [
        f"{{ cat /etc/{name}; echo {quote(line)}; }} >/mnt/{name}",
        f"mount --bind /mnt/{name} /etc/{name}",
    ]


@cache
def _closed_devices() -> list[Path]:
    """Those that udev makes everybody's, where it has not."""
    devices = (Path("/dev/fuse"), Path("/dev/net/tun"))
    return [device for device in devices if device.exists() and not device.stat().st_mode & 0o002]


@cache
def _closed_directories() -> list[str]:
    """The uppermost first."""
    wanted = [
        Path(os.path.realpath(sys.executable)),
        Path(sys.prefix, "bin"),
        Path(containerlib.__file__),
        Path(__file__),
    ]
    parents = {parent for path in wanted for parent in path.parents}
    return sorted(str(path) for path in parents if not path.stat().st_mode & 0o001)
