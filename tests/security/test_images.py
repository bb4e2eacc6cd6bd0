"""Images that lie about paths, and volumes whose other user moves them: where mounts, masks and writes end up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.spec.options import ContainerOptions, MountOption
from rig.bundles import Rack

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

NO_SYSCTL = ContainerOptions(network="host")
"""With the host's network the default config sets no sysctl, so that the mount alone is tried."""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host that nothing in a container has a reason to touch."""
    path = tmp_path / "outside"
    path.mkdir()
    return path


def bound(target: str, source: Path) -> Callable[[dict[str, Any]], None]:
    """A bind in the config itself: what a recipe refuses, a bundle from elsewhere may ask for."""

    def change(spec: dict[str, Any]) -> None:
        kept = [mount for mount in spec["mounts"] if mount["destination"] != target]
        bind = {"destination": target, "type": "bind", "source": str(source), "options": ["rbind", "rw"]}
        spec["mounts"] = [*kept, bind]

    return change


@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "/proc/../proc/self"])
def test_mount_over_proc_is_refused(rack: Rack, outside: Path, target: str) -> None:
    """CVE-2019-16884: who mounts on /proc, or on a file below it, has the confinement of the container lifted."""
    with pytest.raises(InvalidArgument) as caught:
        rack.run("true", options=ContainerOptions(mounts=(MountOption("bind", target, str(outside)),)))
    assert caught.value.field == "mounts"


def tree(path: Path) -> list[str]:
    return sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/tmp", "/../../../../tmp", "proc2"])
def test_image_with_a_link_for_a_kernel_file_system_is_refused(
    rack: Rack, layer: Path, name: str, target: str
) -> None:
    """CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642"""
    layer.joinpath("proc2").mkdir()
    layer.joinpath(name).symlink_to(target)
    with pytest.raises(StageError) as caught:
        rack.run("true", lowers=(layer,), options=NO_SYSCTL)
    assert caught.value.stage == "mount"
    assert f"/{name}" in caught.value.detail


def test_volume_over_proc_does_not_take_the_runtimes_writes(rack: Rack, outside: Path) -> None:
    """CVE-2019-16884: settings and labels written to a fake /proc seem to be made, and are not."""
    target = outside / "sys/net/ipv4/ping_group_range"
    target.parent.mkdir(parents=True)
    target.write_text("untouched")
    options = ContainerOptions(sysctls=(("net.ipv4.ping_group_range", "0 1"),))
    with pytest.raises(StageError) as caught:
        rack.run("true", options=options, change=bound("/proc", outside))
    assert caught.value.stage == "bind", "what is bound on /proc is a procfs"
    assert target.read_text() == "untouched"


def test_sysctl_through_a_link_in_the_image_does_not_write_elsewhere(rack: Rack, outside: Path) -> None:
    """CVE-2025-52881: a write to /proc that a mount or link redirects, here to a file of the host."""
    victim = outside / "victim"
    victim.write_text("untouched")
    fake = outside / "sys"
    fake.mkdir()
    fake.joinpath("net").symlink_to(outside)
    options = ContainerOptions(sysctls=(("net.victim", "overwritten"),))
    with pytest.raises(InvalidArgument, match="/proc/sys is below /proc"):
        rack.run("true", options=options, change=bound("/proc/sys", fake))
    assert victim.read_text() == "untouched"


@pytest.mark.parametrize(
    "key", ["kernel.core_pattern", "kernel.hostname", "vm.swappiness", "net.../..kernel"]
)
def test_sysctl_of_the_host_is_refused(rack: Rack, key: str) -> None:
    """CVE-2022-0811: kernel.core_pattern of the host runs any program as root."""
    with pytest.raises(InvalidArgument):
        rack.run("true", options=ContainerOptions(sysctls=((key, "|/tmp/evil"),)))


def test_masked_file_stays_empty_when_the_image_has_another_null(rack: Rack, layer: Path) -> None:
    """CVE-2025-31133: /dev/null of the image is a link, so that the mask shows or writes what it points to."""
    layer.joinpath("dev").mkdir()
    layer.joinpath("dev/null").symlink_to("/proc/sys/kernel/core_pattern")

    def mask(spec: dict[str, Any]) -> None:
        spec["linux"]["maskedPaths"] = ["/proc/version"]
        spec["mounts"] = [m for m in spec["mounts"] if not m["destination"].startswith("/dev")]

    done = rack.run("sh", "-c", "wc -c </proc/version; echo x >/proc/version", lowers=(layer,), change=mask)
    assert done.text == "0"
    assert Path("/proc/sys/kernel/core_pattern").read_text() != "x\n"


def test_masked_and_read_only_paths_hold_by_default(rack: Rack) -> None:
    script = (
        "for f in /proc/keys /proc/timer_list /proc/interrupts; do [ -e $f ] && wc -c <$f; done;"
        "ls -A /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v ':$' | grep . && echo shown;"
        "echo 1 >/proc/sys/kernel/panic; [ ! -e /proc/sysrq-trigger ] || echo b >/proc/sysrq-trigger;"
        "echo x >/proc/irq/default_smp_affinity"
    )
    done = rack.run("sh", "-c", script)
    assert set(done.text.split()) <= {"0"}
    refused = 3 if Path("/proc/sysrq-trigger").exists() else 2
    assert done.stderr.count(b"Read-only file system") == refused


@pytest.mark.parametrize("link", ["dev/pts", "dev/console", "dev/ptmx", "dev"])
def test_image_with_a_link_for_the_console_leaves_the_host_alone(
    rack: Rack, layer: Path, outside: Path, link: str
) -> None:
    """CVE-2025-52565: the terminal is bound on what /dev/console or /dev/pts of the image points to."""
    layer.joinpath(link).parent.mkdir(exist_ok=True)
    layer.joinpath(link).symlink_to(f"../../../../../../../..{outside}")
    try:
        done = rack.run(
            "sh",
            "-c",
            "tty; echo escaped >/dev/console",
            lowers=(layer,),
            change=lambda spec: spec["process"].update(terminal=True),
            terminal=(24, 80),
        )
    except StageError:
        pass
    else:
        assert done.stdout.startswith(b"/dev/pts/0")
    assert tree(outside) == []


def test_console_without_a_dev_of_its_own_refuses_a_device_of_the_image(rack: Rack, layer: Path) -> None:
    """CVE-2025-52565, CVE-2016-9962: /dev/pts/ptmx that is no ptmx, or a link to the host's."""
    layer.joinpath("dev").mkdir()
    layer.joinpath("dev/pts").mkdir()
    layer.joinpath("dev/pts/ptmx").write_text("")

    def without_dev(spec: dict[str, Any]) -> None:
        spec["process"]["terminal"] = True
        spec["mounts"] = [m for m in spec["mounts"] if not m["destination"].startswith("/dev")]

    with pytest.raises(StageError) as caught:
        rack.run("tty", lowers=(layer,), change=without_dev, terminal=(24, 80))
    assert caught.value.stage == "console"


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_mount_through_a_link_of_the_image_lands_in_the_container(
    rack: Rack, layer: Path, outside: Path, tmp_path: Path, kind: Literal["bind", "tmpfs"]
) -> None:
    """CVE-2017-1002101, CVE-2021-30465: the destination's parents are links out of the root."""
    source = tmp_path / "source"
    source.mkdir()
    source.joinpath("inside").touch()
    layer.joinpath("door").symlink_to(f"../../../../../../../../../..{outside}")
    layer.joinpath(str(outside).lstrip("/")).mkdir(parents=True)
    mount = MountOption(kind, "/door/new/target", str(source) if kind == "bind" else "")
    script = f"grep ' {outside}/new/target ' /proc/mounts | wc -l"
    done = rack.run("sh", "-c", script, lowers=(layer,), options=ContainerOptions(mounts=(mount,)))
    assert done.text == "1", "it is mounted at that path inside the container's root"
    assert tree(outside) == []


def test_mount_through_a_dangling_link_of_the_image_makes_nothing_on_the_host(
    rack: Rack, layer: Path, outside: Path
) -> None:
    """CVE-2024-45310: the directories that a destination lacks are made where the link points to, on the host."""
    layer.joinpath("door").symlink_to(f"../../../../../../../../../..{outside}/made")
    options = ContainerOptions(mounts=(MountOption("tmpfs", "/door/new/target"),))
    with suppress(StageError):
        rack.run("true", lowers=(layer,), options=options)
    assert tree(outside) == []


@contextmanager
def exchanging(attack_layer: Path, a: Path, b: Path, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """The other user of a volume, who exchanges a directory and a link all the time."""
    argv = [str(attack_layer / "bin/attack"), "exchange", str(a), str(b), str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as racer:
        try:
            yield racer
        finally:
            racer.kill()


def test_mount_in_a_volume_that_exchanges_directory_and_link_never_reaches_the_host(
    rack: Rack, attack_layer: Path, tmp_path: Path, outside: Path
) -> None:
    """CVE-2021-30465 and CVE-2024-45310: nothing is mounted on, and nothing made in, a directory of the host."""
    volume = tmp_path / "volume"
    volume.joinpath("a").mkdir(parents=True)
    volume.joinpath("link").symlink_to(f"../../../../../../../../../..{outside}")
    options = ContainerOptions(
        mounts=(
            MountOption("bind", "/volume", str(volume)),
            MountOption("tmpfs", "/volume/a/deep/target"),
            MountOption("bind", "/volume/a/file", "/etc/hostname"),
        )
    )
    outcomes = {"started": 0, "refused": 0}
    before = Path("/proc/self/mountinfo").read_text().count(str(tmp_path))
    with exchanging(attack_layer, volume / "a", volume / "link", 20.0) as racer:
        for _ in range(120):
            try:
                rack.run("true", options=options)
                outcomes["started"] += 1
            except StageError:
                outcomes["refused"] += 1
            assert tree(outside) == []
        assert racer.poll() is None, "the race was not on to the end"
    assert outcomes["started"] > 0, outcomes
    assert Path("/proc/self/mountinfo").read_text().count(str(tmp_path)) == before


def test_exec_user_looked_up_in_a_container_that_changes_its_files_reads_no_file_of_the_host(
    rack: Rack, layer: Path, tmp_path: Path
) -> None:
    """CVE-2018-15664, CVE-2019-14271: we read files by descriptor; we load and run nothing of the container's."""
    from containerlib.bundles.users import resolve_user
    from containerlib.errors import NotFound

    secret = tmp_path / "passwd"
    secret.write_text("evil:x:4242:4242::/:/bin/sh\n")
    layer.joinpath("etc").mkdir()
    layer.joinpath("etc/link").symlink_to(f"../../../../../../../../../..{secret}")
    container = rack.create("attack", "exchange", "/etc/passwd", "/etc/link", "20", lowers=(layer,))
    for _ in range(300):
        with pytest.raises(NotFound):
            resolve_user("evil", (f"/proc/{container.supervisor.pid}/root/.",))


@pytest.mark.parametrize("make", ["mkfifo /etc/passwd", "ln -s /dev/zero /etc/passwd", "mkdir /etc/passwd"])
def test_exec_user_looked_up_in_a_file_that_never_ends_is_an_answer_at_once(rack: Rack, make: str) -> None:
    from containerlib.bundles.users import resolve_user
    from containerlib.errors import NotFound

    container = rack.create("sleep", "60")
    assert container.output("sh", "-c", f"rm -f /etc/passwd; {make}").status.exit_code == 0
    with pytest.raises(NotFound):
        resolve_user("evil", (f"/proc/{container.supervisor.pid}/root/.",))
