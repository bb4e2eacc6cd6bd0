"""Skips that say why, the check for leaks, and what tests stand on: images, a registry, an engine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rig import host, images
from rig.leaks import Processes, Surroundings, leaks_since
from rig.registry import Registry
from rig.snapshotters import usable

if TYPE_CHECKING:
    from containerlib import Engine
    from containerlib.spec.options import SnapshotterName


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--leaks",
        choices=("fail", "report"),
        default="fail",
        help="what a process, cgroup, mount, link, nft rule or temporary file left behind does to the run",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`privileged("CAP_SYS_ADMIN: mounts an overlay")` skips unless root has the capabilities named."""
    for marker in item.iter_markers("privileged"):
        reasons = [str(argument) for argument in marker.args] or ["CAP_SYS_ADMIN: makes containers"]
        for reason in reasons:
            named = [
                word
                for word in host.CAPABILITIES
                if word in reason.replace(",", " ").replace(":", " ").split()
            ]
            missing = [lack for name in named if (lack := host.lacks_capability(name))]
            lack = host.lacks_root() or ", ".join(missing)
            if lack:
                pytest.skip(f"needs {reason}; {lack}")


@pytest.fixture(scope="session", autouse=True)
def surroundings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Processes]:
    """Fails the run when it leaves anything behind. Set up first, and so looked at last."""
    processes = Processes()
    temporary = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", None)
        before = Surroundings.look(temporary)
        yield processes
        leaks = leaks_since(before, temporary)
    if not leaks:
        return
    report = "\n  ".join(["the tests left something behind:", *map(processes.explained, leaks)])
    if request.config.getoption("--leaks") == "fail":
        pytest.fail(report, pytrace=False)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{report}")


@pytest.fixture(scope="module", autouse=True)
def seen(request: pytest.FixtureRequest, surroundings: Processes) -> Iterator[None]:
    """Notes which processes a file of tests has left, for the report of the leaks."""
    yield
    surroundings.look(request.node.nodeid)


@pytest.fixture
def snapshotter(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotterName:
    """How layers are kept: as the library chooses, or as a parameter says; skips where that cannot work here."""
    name: SnapshotterName = getattr(request, "param", "auto")
    return name if name == "auto" else usable(name, tmp_path)


@pytest.fixture
def engine(tmp_path: Path, snapshotter: SnapshotterName) -> Iterator[Engine]:
    """An engine with a root of its own."""
    containerlib = pytest.importorskip("containerlib", exc_type=ImportError)
    with containerlib.Engine(root=tmp_path / "root", snapshotter=snapshotter) as engine:
        yield engine


@pytest.fixture
def criu_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CRIU of the tests is the one that an engine finds."""
    from rig.checkpoints import on_path

    changed = dict(os.environ)
    on_path(changed, tmp_path)
    monkeypatch.setenv("PATH", changed["PATH"])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A real, empty registry on loopback."""
    skip_without("docker-registry", "skopeo")
    with Registry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture(scope="session")
def busybox_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI image layout of busybox."""
    if images.find_busybox() is None:
        pytest.skip("no static busybox: install busybox-static")
    return images.busybox_image().write_layout(tmp_path_factory.mktemp("images") / "busybox")


@pytest.fixture(scope="session")
def busybox_rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of busybox, for bundles made by hand."""
    if images.find_busybox() is None:
        pytest.skip("no static busybox: install busybox-static")
    return images.busybox_image().unpack(tmp_path_factory.mktemp("rootfs") / "busybox")


@pytest.fixture(scope="session")
def redis_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI image layout of redis-server and redis-cli on busybox."""
    skip_without("redis-server", "redis-cli", "ldd")
    if images.find_busybox() is None:
        pytest.skip("no static busybox: install busybox-static")
    return images.redis_image().write_layout(tmp_path_factory.mktemp("images") / "redis")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A 16 MiB tmpfs: the disk that gets full."""
    from rig.mounts import mounted_tmpfs

    if reason := host.lacks_root() or host.lacks_capability("CAP_SYS_ADMIN"):
        pytest.skip(f"needs CAP_SYS_ADMIN to mount a tmpfs; {reason}")
    with mounted_tmpfs(tmp_path / "disk", size="16m") as path:
        yield path


def skip_without(*programs: str) -> None:
    for name in programs:
        if shutil.which(name) is None:
            package = {"redis-cli": "redis-tools", "ldd": "libc-bin"}.get(name, name)
            pytest.skip(f"no {name}: install {package}")


def pytest_report_header() -> str:
    return f"host: Linux {os.uname().release} {os.uname().machine}, user {os.geteuid()}"
