"""What of the runtime a container could get hold of: its binary, its memory, its descriptors, its keys."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from containerlib._sys.native import HELPER
from containerlib.errors import Conflict, StageError
from containerlib.spec.options import ContainerOptions
from rig.bundles import Bundled, Rack
from rig.host import has_sanitizers

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

UNCONFINED = ContainerOptions(seccomp="unconfined")
PTRACE = ContainerOptions(cap_add=("SYS_PTRACE",), seccomp="unconfined")


def helper_digest() -> str:
    return hashlib.sha256(HELPER.read_bytes()).hexdigest()


def execs_under_attack(container: Bundled, count: int = 40) -> dict[str, int]:
    """Runs commands in a container whose first process attacks whoever joins it; what the attacker counted."""
    while b"ready" not in Path(container.directory, "log").read_bytes():
        assert container.supervisor.poll() is None
    for _ in range(count):
        try:
            assert container.output("true").status.exit_code == 0
        except (Conflict, StageError):  # the attacker's time was over before, or meanwhile
            break
    done = container.finish()
    found = re.search(r"seen (\d+) opened (\d+) written (\d+)", done.text)
    assert found, done
    return dict(zip(("seen", "opened", "written"), map(int, found.groups()), strict=True))


def test_exec_into_an_attacker_shows_nothing_of_the_joining_process(rack: Rack) -> None:
    """CVE-2016-9962: /proc/PID/{mem,fd,root} of a process that is in the container and not yet the user's."""
    counts = execs_under_attack(rack.create("attack", "runtime", "0.6"))
    assert counts["seen"] > 0, "the attacker never met the joining process, so nothing was tried"
    assert counts["opened"] == 0


def test_exec_into_an_attacker_with_ptrace_cannot_write_the_runtime(rack: Rack) -> None:
    """CVE-2019-5736: /proc/PID/exe of the runtime, by a container that may look at every process."""
    before = helper_digest()
    counts = execs_under_attack(rack.create("attack", "runtime", "0.6", options=PTRACE))
    assert counts["opened"] > 0, "the attacker never got hold of the joining process, so nothing was tried"
    assert counts["written"] == 0
    assert helper_digest() == before
    assert rack.run("true").status.exit_code == 0


@pytest.mark.skipif(has_sanitizers(), reason="the sanitizers' build needs its loader, which no image has")
def test_entrypoint_of_the_runtimes_own_binary_cannot_write_it(rack: Rack, layer: Path) -> None:
    """CVE-2019-5736, the image's half: the program is /proc/self/exe, so the runtime executes itself."""
    before = helper_digest()
    layer.joinpath("entry").symlink_to("/proc/self/exe")
    done = rack.run("/entry", "sh", "-c", "echo escaped", lowers=(layer,))
    assert b"escaped" not in done.stdout
    assert helper_digest() == before
    assert rack.run("true").status.exit_code == 0


def test_container_session_keyring_is_not_the_callers(rack: Rack, attack_layer: Path) -> None:
    own = subprocess.run(
        [attack_layer / "bin/attack", "keyring"], check=False, capture_output=True, text=True
    )
    if own.returncode:
        pytest.skip("this kernel has no keyrings")
    container = rack.run("attack", "keyring", options=UNCONFINED)
    assert container.status.exit_code == 0
    assert container.text != own.stdout.strip()


def test_exec_session_keyring_is_not_the_callers(rack: Rack, attack_layer: Path) -> None:
    own = subprocess.run(
        [attack_layer / "bin/attack", "keyring"], check=False, capture_output=True, text=True
    )
    if own.returncode:
        pytest.skip("this kernel has no keyrings")
    done = rack.create("sleep", "60", options=UNCONFINED).output("attack", "keyring")
    assert done.status.exit_code == 0
    assert done.text != own.stdout.strip()


def test_container_with_the_default_profile_has_no_keyctl(rack: Rack) -> None:
    assert rack.run("attack", "keyring").status.exit_code == 2


def test_container_sees_no_process_of_the_runtime(rack: Rack) -> None:
    done = rack.run("sh", "-c", "cat /proc/[0-9]*/comm")
    assert set(done.text.split()) in ({"cat"}, {"cat", "sh"})


def test_shim_socket_is_a_file_that_only_root_reaches(rack: Rack) -> None:
    """CVE-2020-15257: an abstract socket is reached from every container on the host's network."""
    container = rack.create("sleep", "60", options=ContainerOptions(network="host"))
    listening = container.output("cat", "/proc/net/unix").text
    assert "containerlib" not in listening
    assert not re.search(r"@\S*shim", listening)
    assert Path(container.directory, "shim.sock").is_socket()
