"""`--no-pivot`: the root is moved on top of "/", for machines that have nothing but their initial ramdisk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.oci import Bundle, Command, status_of

pytestmark = [pytest.mark.vm, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")]

TESTS = Path(__file__).parents[1]


@pytest.fixture
def on_ramdisk(tmp_path: Path) -> Iterator[Command]:
    """The command on a machine whose root is the initial ramdisk; its containers are there for the other one too."""
    words = (sys.executable, str(TESTS / "rig/roots.py"), "ramdisk", *Command.ours(tmp_path).words)
    with Command(words, tmp_path / "state") as command:
        yield command


def test_container_has_the_same_mounts_with_and_without(oci: Command, bundle: Bundle) -> None:
    made = bundle("cat", "/proc/self/mountinfo")
    found = [oci("run", *flags, "--bundle", made, "c1").text for flags in ((), ("--no-pivot",))]
    first, second = (
        [(words[3], words[4], words[5]) for words in map(str.split, text.splitlines())] for text in found
    )
    assert first == second


def test_root_on_a_ramdisk_is_refused_with_the_flag_that_it_needs(
    on_ramdisk: Command, bundle: Bundle
) -> None:
    answer = on_ramdisk("run", "--bundle", bundle("true"), "c1")
    assert (answer.status, "create with --no-pivot" in answer.message) == (1, True)


def test_container_on_a_ramdisk_has_its_whole_life(
    on_ramdisk: Command, oci: Command, bundle: Bundle, tmp_path: Path
) -> None:
    def change(spec: dict[str, Any]) -> None:
        hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {tmp_path}/told"]}
        spec["hooks"] = {"createRuntime": [hook]}
        spec["root"]["readonly"] = True

    on_ramdisk.create(bundle("sleep", "100", change=change), "c1", "--no-pivot").ok()
    assert json.loads((tmp_path / "told").read_text())["status"] == "creating"
    on_ramdisk("start", "c1").ok()
    script = "test -e /etc/passwd && ! touch /x 2>/dev/null && ls -d /root && cat /proc/self/mountinfo"
    root, *mounts = oci("exec", "c1", "sh", "-c", script).text.splitlines()
    assert root == "/root"
    assert not any("rootfs" in line.partition(" - ")[2] for line in mounts)
    oci("kill", "c1", "KILL").ok()


def test_process_with_a_terminal_on_a_ramdisk_is_in_the_container(
    on_ramdisk: Command, oci: Command, bundle: Bundle
) -> None:
    on_ramdisk.detach(bundle("sleep", "100"), "c1", "--no-pivot").ok()
    assert oci("exec", "--tty", "c1", "sh", "-c", "tty; pwd").text.split() == ["/dev/pts/0", "/"]
    assert status_of(oci, "c1") == "running"


@pytest.mark.parametrize("flags", [(), ("--no-pivot",)])
def test_root_that_is_a_directory_in_a_mount_is_refused(
    oci: Command, bundle: Bundle, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """From a container there a way would lead up to what is beside it."""
    (tmp_path / "jail").mkdir()
    line = oci.line("run", *flags, "--bundle", bundle("true"), "c1")
    jail = [sys.executable, str(TESTS / "rig/roots.py"), "jail", str(tmp_path / "jail")]
    done = subprocess.run([*jail, *line], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "as after a chroot(2)" in done.stderr) == (1, True), done.stderr
