"""process.apparmorProfile on a kernel that has AppArmor: the virtual machine's."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import StageError
from rig.bundles import Rack

pytestmark = [pytest.mark.vm, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers and loads a profile")]

ENABLED = Path("/sys/module/apparmor/parameters/enabled")
SECURITY = Path("/sys/kernel/security")
NAME = "containerlib-test"
PROFILE = f"""
profile {NAME} flags=(attach_disconnected, mediate_deleted) {{
  file,
  capability,
  signal,
  network,
  deny /forbidden w,
}}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[str]:
    """A profile that is loaded: everything is allowed but to write /forbidden."""
    if not ENABLED.exists() or not ENABLED.read_text().startswith("Y"):
        pytest.skip("this kernel has no AppArmor")
    if shutil.which("apparmor_parser") is None:
        pytest.skip("no apparmor_parser: install apparmor")
    mounted = not SECURITY.joinpath("apparmor").exists()
    if mounted:
        subprocess.run(["mount", "-t", "securityfs", "securityfs", SECURITY], check=True)
    text = tmp_path / "profile"
    text.write_text(PROFILE)
    parser = ["apparmor_parser", "--skip-cache"]
    try:
        subprocess.run([*parser, "--replace", text], check=True)
        yield NAME
        subprocess.run([*parser, "--remove", text], check=True)
    finally:
        if mounted:
            subprocess.run(["umount", SECURITY], check=True)


def confined(name: str, **process: Any) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        spec["process"].update(apparmorProfile=name, **process)

    return change


LOOK = """
cat /proc/self/attr/current
echo x 2>/dev/null >/allowed && echo allowed
echo x 2>/dev/null >/forbidden || echo denied
"""


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_profile_confines_the_program(rack: Rack, profile: str, no_new_privileges: bool) -> None:
    done = rack.run("sh", "-c", LOOK, change=confined(profile, noNewPrivileges=no_new_privileges))
    assert done.text.splitlines() == [f"{profile} (enforce)", "allowed", "denied"]


def test_profile_confines_an_exec_and_nothing_else(rack: Rack, profile: str) -> None:
    container = rack.create("sleep", "600")
    done = container.output("sh", "-c", LOOK, apparmorProfile=profile)
    assert done.text.splitlines() == [f"{profile} (enforce)", "allowed", "denied"]
    first = Path(f"/proc/{container.supervisor.pid}/attr/current").read_text()
    assert first.startswith("unconfined")


def test_profile_that_is_not_loaded_is_refused(rack: Rack, profile: str) -> None:
    with pytest.raises(
        StageError, match=r"process\.apparmorProfile no-such-profile.*no such profile is loaded"
    ) as caught:
        rack.create("true", change=confined("no-such-profile"))
    assert (caught.value.stage, caught.value.errno) == ("label", errno.ENOENT)


def test_profile_confines_a_container_whose_proc_is_the_images(
    rack: Rack, profile: str, tmp_path: Path
) -> None:
    """CVE-2019-16884: the label was written to a file of the image, and the program ran unconfined."""
    layer = tmp_path / "layer"
    for process in ("self", "thread-self", "1"):
        for name in ("exec", "apparmor/exec"):
            path = layer / "proc" / process / "attr" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    layer.chmod(0o755)

    def change(spec: dict[str, Any]) -> None:
        spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/proc"]
        spec["linux"].update(maskedPaths=[], readonlyPaths=[])
        spec["linux"].pop("sysctl")
        confined(profile)(spec)

    container = rack.create("sleep", "600", change=change, lowers=(layer,))
    current = Path(f"/proc/{container.supervisor.pid}/attr/current").read_text()
    assert current.strip() == f"{profile} (enforce)"
