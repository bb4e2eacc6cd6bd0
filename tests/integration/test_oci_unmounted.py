"""A configuration without a mount namespace: its root is a directory of the runtime's own, and nothing is mounted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import Unsupported
from rig.bundles import Rack
from rig.oci import Bundle, Command, make_bundle

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def without_mounts(spec: dict[str, Any]) -> None:
    linux = spec["linux"]
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] not in ("mount", "cgroup")]
    spec["mounts"], spec["root"]["readonly"] = [], False
    for name in ("maskedPaths", "readonlyPaths", "sysctl"):
        linux.pop(name, None)


@pytest.fixture
def unmounted(tmp_path: Path, busybox_rootfs: Path) -> Bundle:
    """What is made in it stays, so it has files of its own."""

    def make(*argv: str, **words: Any) -> str:
        rootfs = tmp_path / "own"
        shutil.copytree(busybox_rootfs, rootfs, symlinks=True)
        return make_bundle(tmp_path / "bundle", rootfs, *argv, change=without_mounts)

    return make


def test_container_without_a_mount_namespace_runs_in_its_directory(
    oci: Command, unmounted: Bundle, tmp_path: Path
) -> None:
    made = unmounted("sh", "-c", "pwd; touch /made; ls -d /bin /root /made; ls /sys | wc -l; echo $$")
    assert oci("run", "--bundle", made, "c1").text.split() == ["/", "/bin", "/made", "/root", "0", "1"]
    assert (tmp_path / "own/made").exists()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_container_without_a_mount_namespace_has_the_runtimes(oci: Command, unmounted: Bundle) -> None:
    oci.detach(unmounted("sleep", "100"), "c1").ok()
    pid = oci.state("c1")["pid"]
    own, first = (Path(f"/proc/{who}/ns/mnt").readlink() for who in ("self", pid))
    assert own == first
    assert Path(f"/proc/{pid}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()


def test_exec_without_a_mount_namespace_is_in_the_containers_directory(
    oci: Command, unmounted: Bundle, tmp_path: Path
) -> None:
    oci.detach(unmounted("sleep", "100"), "c1").ok()
    script = "touch /inside; pwd; ls -d /bin /root /inside; cat /dev/null"
    answer = oci("exec", "c1", "sh", "-c", script)
    assert answer.stdout.split() == ["/", "/bin", "/inside", "/root"]
    assert (tmp_path / "own/inside").exists()
    assert not Path("/inside").exists()


def test_exec_without_a_mount_namespace_needs_to_know_the_directory(rack: Rack) -> None:
    """A caller of the runtime who does not say it is not given the host's."""
    container = rack.create("sleep", "60")
    container.spec["linux"]["namespaces"] = [{"type": "pid"}]
    with pytest.raises(Unsupported, match="mount namespace"):
        container.execute("true")


def test_mount_without_a_mount_namespace_is_refused(oci: Command, bundle: Bundle) -> None:
    def change(spec: dict[str, Any]) -> None:
        without_mounts(spec)
        spec["mounts"] = [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]

    answer = oci("run", "--bundle", bundle("true", change=change), "c1")
    assert (answer.status, "mounts: without a mount namespace" in answer.message) == (1, True)
