"""The process that joins a container, or becomes one, before it is the user's: nobody inside may look into it.

CVE-2016-9962, CVE-2016-8649, CVE-2016-8659, CVE-2019-5736, CVE-2020-5291: it has the host's rights or descriptors until
its exec. A hostile process shares its user, its pid namespace or its user namespace, and tries ptrace, /proc/PID,
process_vm_readv and pidfd_getfd on whatever is still the runtime's.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from containerlib.bundles.users import ResolvedUser
from containerlib.errors import Conflict, StageError
from containerlib.runtime import BindRoot
from containerlib.spec.options import ContainerOptions
from rig.bundles import Bundled, Rack, until
from rig.oci import Command, make_bundle
from rig.user_namespaces import in_user_namespace, make_mapped_root

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

SECONDS = "1.5"
JOINS = 60
STARTS = 20
NOBODY = ResolvedUser(65534, 65534, (65534,), "/")
UNCONFINED = ContainerOptions(seccomp="unconfined")


@pytest.fixture
def mapped_root(tmp_path: Path, attack_layer: Path, busybox_rootfs: Path) -> BindRoot:
    return make_mapped_root(tmp_path, busybox_rootfs, attack_layer)


def await_ready(container: Bundled) -> None:
    until(lambda: b"ready" in Path(container.directory, "log").read_bytes())


def verdict(text: str) -> tuple[int, int]:
    found = re.search(r"seen (\d+) grabbed (\d+)", text)
    assert found, text
    return int(found[1]), int(found[2])


def with_every_capability(spec: dict[str, Any]) -> None:
    """Those that its user namespace has."""
    in_user_namespace(spec)
    names = [f"CAP_{name}" for name in ("SYS_PTRACE", "SYS_ADMIN", "SYS_CHROOT", "SETUID", "DAC_OVERRIDE")]
    spec["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)


ATTACKERS: dict[str, Callable[[BindRoot], dict[str, Any]]] = {
    "root with Docker's defaults": lambda _: {},
    "root without a filter": lambda _: {"options": UNCONFINED},
    "the same user": lambda _: {"options": UNCONFINED, "user": NOBODY},
    "root of a user namespace with every capability": lambda root: {
        "options": UNCONFINED,
        "change": with_every_capability,
        "root": root,
    },
}


@pytest.mark.parametrize("attacker", ATTACKERS)
def test_process_that_joins_an_attacker_cannot_be_traced(
    rack: Rack, mapped_root: BindRoot, attacker: str
) -> None:
    container = rack.create("attack", "grab", SECONDS, **ATTACKERS[attacker](mapped_root))
    await_ready(container)
    for _ in range(JOINS):
        try:
            container.output("true")
        except (Conflict, StageError):  # the attacker's time was over before, or meanwhile
            break
    seen, grabbed = verdict(container.finish().text)
    assert seen > 0, "the attacker never met the joining process, so nothing was tried"
    assert grabbed == 0


def test_process_that_the_command_joins_an_attacker_with_cannot_be_traced(
    oci: Command, tmp_path: Path, busybox_rootfs: Path, attack_layer: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for layer in (busybox_rootfs, attack_layer):
        make_copy(layer, root)
    bundle = make_bundle(tmp_path / "bundle", root, "sh", "-c", "attack grab 8 >/tmp/said", change=writable)
    oci.detach(bundle, "c1").ok()
    until(lambda: (root / "tmp/said").exists() and "ready" in (root / "tmp/said").read_text())
    for _ in range(6):
        oci.silently("exec", "c1", "true").ok()
        oci.silently("exec", "--detach", "c1", "true").ok()
    until(lambda: "grabbed" in (root / "tmp/said").read_text(), 20.0)
    seen, grabbed = verdict((root / "tmp/said").read_text())
    assert seen > 0, "the attacker never met the joining process, so nothing was tried"
    assert grabbed == 0


def make_copy(layer: Path, root: Path) -> None:
    subprocess.run(["cp", "-a", f"{layer}/.", root], check=True)
    (root / "tmp").mkdir(exist_ok=True)


def writable(spec: dict[str, Any]) -> None:
    spec["root"]["readonly"] = False


def beside(pid: int, *shared: str) -> Callable[[dict[str, Any]], None]:
    """Shares namespaces of the process `pid`."""

    def change(spec: dict[str, Any]) -> None:
        linux = spec["linux"]
        if "user" in shared:
            linux["sysctl"].pop("net.ipv4.ping_group_range")
        linux["namespaces"] = [
            *(n for n in linux["namespaces"] if n["type"] not in shared),
            *({"type": kind, "path": f"/proc/{pid}/ns/{kind}"} for kind in shared),
        ]

    return change


@pytest.mark.parametrize("namespace", ["none", "new", "shared"])
def test_container_that_starts_beside_an_attacker_cannot_be_traced(
    rack: Rack, mapped_root: BindRoot, namespace: str
) -> None:
    """Containers of a pod: one pid namespace. The one that starts has a user namespace of its own, the attacker's, or
    none. Where it is new, the host's root, which the attacker is, has every capability in it (user_namespaces(7))."""
    attacker = {"change": with_every_capability, "root": mapped_root} if namespace == "shared" else {}
    container = rack.create("attack", "grab", "4", options=UNCONFINED, **attacker)  # type: ignore[arg-type]
    await_ready(container)
    pid = container.supervisor.pid
    join = beside(pid, "pid", "user") if namespace == "shared" else beside(pid, "pid")

    def change(spec: dict[str, Any]) -> None:
        join(spec)
        if namespace == "new":
            in_user_namespace(spec)

    limit = time.monotonic() + 3.5
    for _ in range(STARTS):
        if time.monotonic() > limit:
            break
        with suppress(StageError):  # one that is refused has been there too
            rack.run("true", change=change, root=None if namespace == "none" else mapped_root)
    seen, grabbed = verdict(container.finish().text)
    assert seen > 0, "the attacker never met the starting process, so nothing was tried"
    assert grabbed == 0


def test_created_container_beside_an_attacker_cannot_be_traced_while_it_waits(rack: Rack) -> None:
    container = rack.create("attack", "grab", "1.5", options=UNCONFINED)
    rack.create("true", hold=True, change=beside(container.supervisor.pid, "pid"))
    seen, grabbed = verdict(container.finish().text)
    assert seen > 10
    assert grabbed == 0
