"""Containers of an ordinary user: in a user namespace, without control groups where none are delegated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rig.bundles import until
from rig.ordinary import as_user

pytestmark = pytest.mark.privileged("CAP_SETUID: becomes an ordinary user")

USER = 54_321

SCRIPT = """
import json, sys
from containerlib.runtime import BindRoot, Stdio, create, execute
from containerlib.runtime.plan.user import Mapper
bundle, mapper = sys.argv[1], json.loads(sys.argv[2])
container = create(bundle, directory=bundle, root=BindRoot(bundle + "/rootfs"), cgroup=None, owned=True,
                   log=None, stdio=Stdio(stdout=1, stderr=2), mapper=Mapper(**mapper))
status = container.wait(20.0)
container.finished()
sys.exit(status.exit_code)
"""


@pytest.fixture
def bundle(tmp_path: Path, busybox_rootfs: Path) -> Path:
    """A bundle that belongs to the user, in a place that they can reach."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    subprocess.run(["cp", "-a", busybox_rootfs, bundle / "rootfs"], check=True)
    subprocess.run(["chown", "-hR", f"{USER}:{USER}", bundle], check=True)
    return bundle


def config(**linux: Any) -> dict[str, Any]:
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["newinstance", "ptmxmode=0666"],
        },
        {
            "destination": "/sys",
            "type": "sysfs",
            "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        },
    ]
    kinds = ("pid", "network", "ipc", "uts", "mount", "user")
    one = [{"containerID": 0, "hostID": USER, "size": 1}]
    return {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "hostname": "rootless",
        "mounts": mounts,
        "process": {"cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, "args": ["true"]},
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "uidMappings": one,
            "gidMappings": one,
            **linux,
        },
    }


def run(
    bundle: Path,
    spec: dict[str, Any],
    *argv: str,
    mapper: dict[str, str] | None = None,
    script: str = SCRIPT,
) -> subprocess.CompletedProcess[str]:
    spec["process"]["args"] = list(argv)
    (bundle / "config.json").write_text(json.dumps(spec))
    return subprocess.run(
        as_user(USER, sys.executable, "-c", script, bundle, json.dumps(mapper or {})),
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_ordinary_user_is_root_of_a_container_of_one_id(bundle: Path) -> None:
    done = run(
        bundle, config(), "sh", "-c", "id -u; hostname; cat /proc/self/uid_map; touch /made; ls /dev | wc -l"
    )
    assert done.stderr == ""
    assert done.stdout.split()[:5] == ["0", "rootless", "0", str(USER), "1"]
    assert (bundle / "rootfs/made").stat().st_uid == USER


def test_output_to_a_pipe_that_the_user_may_not_open_arrives_whole(bundle: Path) -> None:
    """It is root's, and the flags of what the user was given are not theirs to change."""
    script = SCRIPT.replace("log=None, ", "") + "assert fcntl.fcntl(1, 3) & 0o4000 == 0\n"
    script = script.replace("import json", "import fcntl, json", 1).replace(
        "sys.exit(status.exit_code)\n", ""
    )
    done = run(bundle, config(), "sh", "-c", "seq 100000", script=script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{number}\n" for number in range(1, 100_001))


def test_exit_code_of_a_rootless_container_is_exact(bundle: Path) -> None:
    assert run(bundle, config(), "sh", "-c", "exit 43").returncode == 43


def test_groups_cannot_be_set_by_who_maps_themselves(bundle: Path) -> None:
    done = run(bundle, config(), "sh", "-c", "cat /proc/self/setgroups")
    assert done.stdout == "deny\n"
    spec = config()
    spec["process"]["user"]["additionalGids"] = [0]
    assert "additionalGids" in run(bundle, spec, "true").stderr


@pytest.mark.skipif(
    shutil.which("newuidmap") is None, reason="newuidmap is not installed: apt-get install uidmap"
)
def test_newuidmap_maps_the_range_of_subuid(bundle: Path, tmp_path: Path) -> None:
    pretended = {name: tmp_path / name for name in ("subuid", "subgid", "passwd")}
    pretended["passwd"].write_text(Path("/etc/passwd").read_text() + f"rootless:x:{USER}:{USER}::/:/bin/sh\n")
    for name in ("subuid", "subgid"):
        pretended[name].write_text("rootless:300000:65536\n")
    maps = [
        {"containerID": 0, "hostID": USER, "size": 1},
        {"containerID": 1, "hostID": 300_000, "size": 65_536},
    ]
    spec = config(uidMappings=maps, gidMappings=maps)
    spec["process"]["args"] = ["sh", "-c", "id -u; touch /made; chown 7:8 /made; cat /proc/self/setgroups"]
    (bundle / "config.json").write_text(json.dumps(spec))
    # the user exists in a mount namespace only: nothing of the host's is changed
    binds = " && ".join(f"mount --bind {path} /etc/{name}" for name, path in pretended.items())
    mapper = json.dumps({"newuidmap": shutil.which("newuidmap"), "newgidmap": shutil.which("newgidmap")})
    program = as_user(USER, sys.executable, "-c", SCRIPT, bundle, mapper)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh", *program],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["0", "allow"], "")
    made = (bundle / "rootfs/made").stat()
    assert (made.st_uid, made.st_gid) == (300_006, 300_007)


def test_more_ids_than_ones_own_without_newuidmap_say_what_to_install(bundle: Path) -> None:
    maps = [{"containerID": 0, "hostID": USER, "size": 2}]
    done = run(bundle, config(uidMappings=maps), "true")
    assert "apt-get install uidmap" in done.stderr


def test_killed_owner_takes_a_rootless_container_along(bundle: Path) -> None:
    spec = config()
    spec["process"]["args"] = ["sh", "-c", "echo up; sleep 600"]
    (bundle / "config.json").write_text(json.dumps(spec))
    with subprocess.Popen(
        as_user(USER, sys.executable, "-c", SCRIPT, bundle, "{}"),
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.kill()

    def processes() -> list[str]:
        return [p.name for p in Path("/proc").iterdir() if p.name.isdigit() and owned(p)]

    until(lambda: not processes())


def owned(process: Path) -> bool:
    try:
        return process.stat().st_uid == USER or f"\t{USER}\t" in (process / "status").read_text()
    except OSError:
        return False
