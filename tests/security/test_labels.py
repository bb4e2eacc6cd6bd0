"""Labels and keys: what decides over a container must not be written where the container says, nor be in its reach."""

from __future__ import annotations

import ctypes
import errno
import platform
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import Error, StageError
from containerlib.runtime.kernel import KernelFiles
from rig.bundles import Rack

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

LABEL = "system_u:system_r:container_t:s0"
NUMBERS = {"x86_64": (248, 250), "aarch64": (217, 219)}
"""add_key(2) and keyctl(2)."""
JOIN_SESSION_KEYRING = 1
SESSION_KEYRING = -3


@pytest.fixture
def active(tmp_path: Path) -> KernelFiles:
    """What the runtime looks at to see whether the modules are on: so it goes on to write the label."""
    sys = tmp_path / "sys"
    for path, text in (("fs/selinux/enforce", "1"), ("module/apparmor/parameters/enabled", "Y\n")):
        sys.joinpath(path).parent.mkdir(parents=True)
        sys.joinpath(path).write_text(text)
    return KernelFiles(sys=str(sys))


def kernels_answer(file: str, text: str) -> int:
    """The errno of a write to this process's own label, which the kernel here has no use for; 0 if it has."""
    try:
        Path("/proc/self/attr", file).write_text(text)
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.fixture
def refusal() -> int:
    answer = kernels_answer("exec", LABEL)
    if answer == 0:
        pytest.skip("this kernel knows the label that is used to see a refusal")
    return answer


def fake_proc(directory: Path) -> list[Path]:
    """A directory with the names that a label is written to, for a container's /proc."""
    files = []
    for process in ("self", "thread-self", "1"):
        for name in ("exec", "keycreate", "apparmor/exec", "current"):
            path = directory / process / "attr" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
            files.append(path)
    return files


def written(rack: Rack) -> list[Path]:
    """Files below what the container calls /proc that are not empty now: in its writable layer."""
    layers = rack.directory.glob("*/upper/proc")
    return [path for layer in layers for path in layer.rglob("*") if path.is_file() and path.read_text()]


def with_proc(source: Path, destination: str, **process: str) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        mount = {"destination": destination, "type": "bind", "source": str(source), "options": ["bind"]}
        spec["mounts"].append(mount)
        spec["process"].update(process)

    return change


def without_proc(**process: str) -> Callable[[dict[str, Any]], None]:
    """The image's own directory is what the container has for /proc."""

    def change(spec: dict[str, Any]) -> None:
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/proc"]
        spec["linux"].update(maskedPaths=[], readonlyPaths=[])
        spec["linux"].pop("sysctl")
        spec["process"].update(process)

    return change


def test_label_does_not_go_to_what_the_image_calls_proc(
    rack: Rack, layer: Path, active: KernelFiles, refusal: int
) -> None:
    """CVE-2019-16884: the container then ran without the profile. The kernel's own file is asked, which knows none."""
    fake_proc(layer / "proc")
    change = without_proc(selinuxLabel=LABEL)
    with pytest.raises(StageError) as caught:
        rack.create("true", change=change, lowers=(layer,), files=active, keyring=False)
    assert (caught.value.stage, caught.value.errno) == ("label", refusal)
    assert written(rack) == []


def test_profile_does_not_go_to_what_the_image_calls_proc(
    rack: Rack, layer: Path, active: KernelFiles
) -> None:
    """CVE-2019-16884: a kernel without AppArmor has no such file, and the image's is none."""
    if Path("/proc/self/attr/apparmor").exists():
        pytest.skip("AppArmor is there: see test_apparmor.py")
    fake_proc(layer / "proc")
    with pytest.raises(StageError) as caught:
        rack.create("true", change=without_proc(apparmorProfile="p"), lowers=(layer,), files=active)
    assert (caught.value.stage, caught.value.errno) == ("label", errno.ENOENT)
    assert written(rack) == []


def test_volume_that_is_no_proc_is_not_mounted_there(rack: Rack, tmp_path: Path, active: KernelFiles) -> None:
    """CVE-2019-16884, CVE-2019-19921: the attack as it was."""
    files = fake_proc(tmp_path / "volume")
    change = with_proc(tmp_path / "volume", "/proc", selinuxLabel=LABEL)
    with pytest.raises(StageError):
        rack.create("true", change=change, files=active, keyring=False)
    assert [path.read_text() for path in files] == [""] * len(files)


@pytest.mark.parametrize("place", ["/proc/self/attr/exec", "/proc/1/attr/exec", "/proc/thread-self/attr"])
def test_label_is_not_redirected_by_a_mount_below_proc(
    rack: Rack, tmp_path: Path, active: KernelFiles, refusal: int, place: str
) -> None:
    """CVE-2025-52881: the write went to another file of the same file system, such as sysrq-trigger."""
    files = fake_proc(tmp_path / "volume")
    source = tmp_path / "volume" / place.removeprefix("/proc/")
    with pytest.raises(Error) as caught:
        rack.create("true", change=with_proc(source, place, selinuxLabel=LABEL), files=active, keyring=False)
    # the mount is refused, or it is made and the label goes past it
    if isinstance(caught.value, StageError) and caught.value.stage == "label":
        assert caught.value.errno == refusal
    assert [path.read_text() for path in files] == [""] * len(files)


def test_label_of_an_exec_does_not_go_to_the_containers_proc(
    rack: Rack, layer: Path, active: KernelFiles, refusal: int
) -> None:
    """The container has had all the time to prepare what it calls /proc."""
    fake_proc(layer / "proc")
    container = rack.create("sleep", "60", change=without_proc(), lowers=(layer,))
    with pytest.raises(StageError) as caught:
        container.execute("true", files=active, keyring=False, selinuxLabel=LABEL)
    assert (caught.value.stage, caught.value.errno) == ("label", refusal)
    assert written(rack) == []


def in_a_thread_with_a_key(work: Callable[[int], None]) -> None:
    """A key in a session keyring that only this thread, and what it starts, has; `work` gets its number."""
    add_key, keyctl = NUMBERS[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            assert libc.syscall(keyctl, JOIN_SESSION_KEYRING, None) > 0
            key = libc.syscall(add_key, b"user", b"containerlib-test", b"secret", 6, SESSION_KEYRING)
            assert key > 0, errno.errorcode[ctypes.get_errno()]
            work(key)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("keyring", [True, False])
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_keys_of_the_callers_session_are_out_of_reach(rack: Rack, verb: str, keyring: bool) -> None:
    """The attack is one without a keyring of its own (--no-new-keyring), which shows that the test sees it."""

    def change(spec: dict[str, Any]) -> None:
        spec["linux"].pop("seccomp")

    def work(key: int) -> None:
        attack = ("attack", "read-key", str(key))
        if verb == "run":
            done = rack.run(*attack, change=change, keyring=keyring)
        else:
            container = rack.create("sleep", "60", change=change, keyring=keyring)
            done = container.output(*attack, keyring=keyring)
        assert done.text.startswith("blocked:" if keyring else "escaped:"), done.text

    in_a_thread_with_a_key(work)
