"""The command as an ordinary user: the same verbs, with what such a user can have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rig.bundles import until
from rig.ordinary import as_user

pytestmark = pytest.mark.privileged("CAP_SETUID: becomes an ordinary user")

USER = 54_321
QUIET: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.DEVNULL,
    "stderr": subprocess.DEVNULL,
}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path, busybox_rootfs: Path) -> Path:
    """A directory of the user's, with a root file system."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    home = tmp_path / "home"
    (home / "bundle").mkdir(parents=True)
    subprocess.run(["cp", "-a", busybox_rootfs, home / "bundle" / "rootfs"], check=True)
    subprocess.run(["chown", "-hR", f"{USER}:{USER}", home], check=True)
    return home


@pytest.fixture
def run(home: Path) -> Run:
    """The command as the user, whose containers are below $XDG_RUNTIME_DIR."""

    def command(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        line = as_user(USER, sys.executable, "-P", "-m", "containerlib.oci_cli", *words)
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, **options}
        return subprocess.run(
            line,
            check=False,
            timeout=60,
            cwd=home / "bundle",
            env={**os.environ, "XDG_RUNTIME_DIR": str(home), "HOME": str(home)},
            **options,
        )

    return command


@pytest.fixture
def bundle(run: Run, home: Path) -> Callable[..., None]:
    """Writes the config.json that `spec --rootless` gives, with another command."""

    def write(*argv: str, **resources: Any) -> None:
        file = home / "bundle" / "config.json"
        file.unlink(missing_ok=True)
        done = run("spec", "--rootless")
        assert done.returncode == 0, done.stderr
        spec = json.loads(file.read_text())
        spec["process"].update(args=list(argv), terminal=False)
        spec["root"]["readonly"] = False
        if resources:
            spec["linux"]["resources"] = resources
        file.write_text(json.dumps(spec))

    return write


def test_run_is_root_inside_alone(run: Run, bundle: Callable[..., None], home: Path) -> None:
    bundle("sh", "-c", "id -u; cat /proc/self/uid_map; touch /mine; exit 4")
    done = run("run", "c1")
    assert (done.returncode, done.stderr) == (4, "")
    assert done.stdout.split() == ["0", "0", str(USER), "1"]
    assert (home / "bundle" / "rootfs" / "mine").stat().st_uid == USER
    assert list((home / "containerlib-oci").iterdir()) == []


def test_life_all_states(run: Run, bundle: Callable[..., None], home: Path) -> None:
    bundle("sleep", "100")
    assert run("create", "c1", **QUIET, capture_output=False).returncode == 0
    state = json.loads(run("state", "c1").stdout)
    assert state["status"] == "created"
    assert run("start", "c1").returncode == 0
    done = run("exec", "c1", "id", "-u")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    assert run("exec", "c1", "sh", "-c", "exit 6").returncode == 6
    assert json.loads(run("ps", "-f", "json", "c1").stdout) == [state["pid"]]
    assert json.loads(run("list", "-f", "json").stdout)[0]["owner"] == f"#{USER}"
    assert run("kill", "c1", "KILL").returncode == 0
    until(lambda: json.loads(run("state", "c1").stdout)["status"] == "stopped")
    assert run("delete", "c1").returncode == 0


def test_limits_without_a_delegated_group_are_warned_of(run: Run, bundle: Callable[..., None]) -> None:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("needs cgroup v1, where nothing is delegated")
    bundle("true", pids={"limit": 20})
    done = run("run", "c1")
    assert done.returncode == 0
    assert "level=warning" in done.stderr
    assert "no cgroup is delegated to this user: resources.pids" in done.stderr


def test_pause_without_groups_is_refused(run: Run, bundle: Callable[..., None]) -> None:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("needs cgroup v1, where nothing is delegated")
    bundle("sleep", "100")
    assert run("run", "--detach", "c1", **QUIET, capture_output=False).returncode == 0
    done = run("pause", "c1")
    assert (done.returncode, "was made without control groups" in done.stderr) == (1, True)
    assert run("delete", "--force", "c1").returncode == 0


def test_configuration_without_a_user_namespace_is_refused(run: Run, home: Path) -> None:
    assert run("spec").returncode == 0
    spec = json.loads((home / "bundle" / "config.json").read_text())
    spec["process"]["terminal"] = False
    (home / "bundle" / "config.json").write_text(json.dumps(spec))
    done = run("run", "c1")
    assert (done.returncode, "rootless container requires user namespaces" in done.stderr) == (1, True)
    assert not (home / "containerlib-oci" / "c1").exists()
