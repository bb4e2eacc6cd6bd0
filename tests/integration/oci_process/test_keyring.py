"""The session keyring: the container's own, and that of each process which is executed in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from containerlib.shim import read_log_bytes
from rig.bundles import Bundled, Rack, end, until
from rig.oci import Command, make_bundle
from rig.process import unfiltered
from rig.user_namespaces import in_user_namespace, make_mapped_root

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

USERS = pytest.mark.parametrize("user", [{"uid": 0, "gid": 0}, {"uid": 1000, "gid": 1000}])
WAIT = ("sh", "-c", "probe; exec sleep 60")

Ring = tuple[int, str]


def ring_of(text: str) -> Ring:
    """Number and name, as the probe has them."""
    (line,) = (line for line in text.splitlines() if line.startswith("keyring "))
    return int(line.split()[1]), line.rpartition(";")[2]


def first_ring(container: Bundled) -> Ring:
    def text() -> str:
        return read_log_bytes(container.directory)[0].decode()

    until(lambda: "keyring" in text())
    return ring_of(text())


def ring_of_the_caller(probe_layer: Path) -> Ring:
    return ring_of(
        subprocess.run([probe_layer / "bin/probe"], check=True, capture_output=True, text=True).stdout
    )


def test_session_keyring_is_the_containers_own(rack: Rack) -> None:
    rings = [ring_of(rack.run("probe", change=unfiltered(), name=name).text) for name in ("one", "two")]
    assert [name for _, name in rings] == ["_ses.one", "_ses.two"]
    assert rings[0][0] != rings[1][0]


@USERS
def test_session_keyring_of_an_exec_is_the_containers(rack: Rack, user: dict[str, int]) -> None:
    """A key that the first process has put there is found by the next, whoever it is."""
    container = rack.create(*WAIT, change=unfiltered(), name="one")
    first = first_ring(container)
    assert first[1] == "_ses.one"
    assert [ring_of(container.output("probe", user=user).text) for _ in range(2)] == [first, first]


@USERS
def test_session_keyring_of_an_exec_into_a_user_namespace_is_the_containers(
    rack: Rack, tmp_path: Path, busybox_rootfs: Path, probe_layer: Path, user: dict[str, int]
) -> None:
    def change(spec: dict[str, Any]) -> None:
        unfiltered()(spec)
        in_user_namespace(spec)

    root = make_mapped_root(tmp_path, busybox_rootfs, probe_layer)
    container = rack.create(*WAIT, change=change, root=root)
    first = first_ring(container)
    assert [ring_of(container.output("probe", user=user).text) for _ in range(2)] == [first, first]


def test_session_keyring_of_a_container_of_the_same_name_later_is_another(rack: Rack) -> None:
    first = rack.create(*WAIT, change=unfiltered(), name="one")
    number, _ = first_ring(first)
    end(first)
    shutil.rmtree(first.directory)
    until(lambda: f"{number:08x}" not in Path("/proc/keys").read_text())
    assert ring_of(rack.run("probe", change=unfiltered(), name="one").text)[0] != number


def test_session_keyring_that_is_not_wanted_stays_the_callers(rack: Rack, probe_layer: Path) -> None:
    done = rack.run("probe", change=unfiltered(), keyring=False, name="one")
    assert ring_of(done.text) == ring_of_the_caller(probe_layer)


@pytest.mark.parametrize("wanted", [True, False])
def test_session_keyring_of_an_exec_by_the_command_is_as_that_of_create(
    oci: Command, tmp_path: Path, busybox_rootfs: Path, probe_layer: Path, wanted: bool
) -> None:
    root = tmp_path / "root"
    for layer in (busybox_rootfs, probe_layer):
        subprocess.run(["cp", "-a", f"{layer}/.", root], check=True)
    bundle = make_bundle(tmp_path / "bundle", root, "sleep", "60", change=unfiltered())
    oci.detach(bundle, "one", *([] if wanted else ["--no-new-keyring"])).ok()
    number, name = ring_of(oci("exec", "one", "probe").text)
    assert (name == "_ses.one") is wanted
    assert ((number, name) == ring_of_the_caller(probe_layer)) is not wanted
