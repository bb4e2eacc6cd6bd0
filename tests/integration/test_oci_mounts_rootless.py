"""Mounts of a container that an ordinary user makes: what the kernel locks, and what it allows no new mount of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rig.mounts import entry, mounted_tmpfs
from rig.ordinary import as_user

pytestmark = pytest.mark.privileged("CAP_SETUID: becomes an ordinary user", "CAP_SYS_ADMIN: mounts")

USER = 54_322

SCRIPT = """
import sys
from containerlib.errors import StageError
from containerlib.runtime import BindRoot, Stdio, create
from containerlib.runtime.plan.user import Mapper
bundle = sys.argv[1]
try:
    container = create(bundle, directory=bundle, root=BindRoot(bundle + "/rootfs"), cgroup=None, owned=True,
                       log=None, stdio=Stdio(stdout=1, stderr=2), mapper=Mapper())
except StageError as error:
    sys.exit(str(error))
status = container.wait(20.0)
container.finished()
sys.exit(status.exit_code)
"""


@dataclass(frozen=True)
class User:
    """An ordinary user with a bundle."""

    bundle: Path

    def run(
        self, *argv: str, mounts: list[dict[str, Any]], shared: tuple[str, ...] = (), **linux: Any
    ) -> subprocess.CompletedProcess[str]:
        one = [{"containerID": 0, "hostID": USER, "size": 1}]
        kinds = [kind for kind in ("pid", "network", "ipc", "uts", "mount", "user") if kind not in shared]
        spec = {
            "ociVersion": "1.3.0",
            "root": {"path": "rootfs"},
            "mounts": [entry("/proc", "proc", "proc"), *mounts],
            "process": {"cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, "args": list(argv)},
            "linux": {
                "namespaces": [{"type": kind} for kind in kinds],
                "uidMappings": one,
                "gidMappings": one,
                **linux,
            },
        }
        self.bundle.joinpath("config.json").write_text(json.dumps(spec))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        return subprocess.run(
            as_user(USER, sys.executable, "-c", SCRIPT, self.bundle),
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def look(self, place: str, *mounts: dict[str, Any], **words: Any) -> tuple[set[str], list[str]]:
        """The options of the uppermost mount there, and its line of mountinfo in words."""
        done = self.run("cat", "/proc/self/mountinfo", mounts=list(mounts), **words)
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        (*_, line) = [words for words in lines if words[4] == place]
        return set(line[5].split(",")), line


@pytest.fixture
def user(tmp_path: Path, busybox_rootfs: Path) -> User:
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    subprocess.run(["cp", "-a", busybox_rootfs, bundle / "rootfs"], check=True)
    bundle.joinpath("rootfs/data").mkdir()
    bundle.joinpath("rootfs/data/file").write_text("content")
    subprocess.run(["chown", "-hR", f"{USER}:{USER}", bundle], check=True)
    return User(bundle)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A mount of the host's that forbids, and is shared."""
    with mounted_tmpfs(tmp_path / "locked", size="1m") as path:
        path.joinpath("file").touch()
        subprocess.run(["mount", "-o", "remount,bind,ro,nosuid,noexec,noatime", path], check=True)
        subprocess.run(["mount", "--make-shared", path], check=True)
        yield path


def test_bind_of_an_ordinary_user_keeps_what_the_host_forbids(user: User, locked: Path) -> None:
    options, line = user.look("/new", entry("/new", "bind", str(locked), "rbind", "nodev"))
    assert options >= {"ro", "nosuid", "nodev", "noexec", "noatime"}
    assert line[6].startswith("master:")


@pytest.mark.parametrize("word", ["rw", "suid", "exec", "relatime", "rrw"])
def test_bind_that_would_allow_what_the_host_forbids_is_refused_with_advice(
    user: User, locked: Path, word: str
) -> None:
    done = user.run("true", mounts=[entry("/new", "bind", str(locked), "rbind", word)])
    assert done.returncode == 1
    assert f"{locked} on /new: EPERM" in done.stderr
    assert "what the source's mount forbids" in done.stderr


def test_bind_of_an_ordinary_users_own_directory_is_writable(user: User) -> None:
    source = user.bundle / "own"
    source.mkdir()
    os.chown(source, USER, USER)
    done = user.run("touch", "/new/made", mounts=[entry("/new", "bind", str(source), "bind")])
    assert (done.returncode, done.stderr) == (0, "")
    assert source.joinpath("made").stat().st_uid == USER


@pytest.mark.parametrize(("shared", "words"), [((), ("sysfs",)), (("network",), ("sysfs",))])
def test_sys_of_an_ordinary_user_is_there_with_either_network(
    user: User, shared: tuple[str, ...], words: tuple[str, ...]
) -> None:
    options, line = user.look(
        "/sys", entry("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"), shared=shared
    )
    assert options >= {"nosuid", "noexec", "nodev", "ro"}
    assert line[line.index("-") + 1] in words


def test_terminals_group_of_an_ordinary_user_is_left_out(user: User) -> None:
    words = ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    _, line = user.look(
        "/dev/pts", entry("/dev", "tmpfs", "tmpfs"), entry("/dev/pts", "devpts", "devpts", *words)
    )
    assert "mode=620" in line[-1]
    assert "gid=5" not in line[-1]


def test_tmpcopyup_of_an_ordinary_user_is_theirs(user: User) -> None:
    mounts = [entry("/data", "tmpfs", "tmpfs", "tmpcopyup")]
    done = user.run("sh", "-c", "cat /data/file && rm /data/file && touch /data/x", mounts=mounts)
    assert (done.stdout, done.stderr) == ("content", "")
    assert user.bundle.joinpath("rootfs/data/file").exists()


def test_masks_and_read_only_paths_of_an_ordinary_user_hold(user: User) -> None:
    done = user.run(
        "sh",
        "-c",
        "wc -c </proc/version; ls /proc/tty | wc -l; echo 1 >/proc/sys/kernel/panic",
        mounts=[],
        maskedPaths=["/proc/version", "/proc/tty"],
        readonlyPaths=["/proc/sys"],
    )
    assert done.stdout.split() == ["0", "0"]
    assert "Read-only file system" in done.stderr
