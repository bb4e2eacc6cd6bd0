"""What confines a container, and whose ids it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.spec.options import SnapshotterName
from rig.snapshotters import usable

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

MAP = [(0, 300_000, 65_536)]


@pytest.fixture(params=["overlay", "erofs"])
def snapshotter(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotterName:
    return usable(request.param, tmp_path)


# ---- confinement ----


def test_seccomp_of_a_file_and_of_a_value_is_in_force(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    recipes = (box.seccomp(profile), box.seccomp(tmp_path / "profile.json"))
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    for recipe in recipes:
        assert b"Function not implemented" in recipe.run("mkdir", "/x", check=False).stderr


def test_no_new_privileges_and_limits_and_settings_are_the_kernels(box: cl.ContainerRecipe) -> None:
    show = "grep NoNewPrivs /proc/self/status; ulimit -Sn; ulimit -Hn; cat /proc/sys/net/core/somaxconn"
    recipe = box.no_new_privileges().rlimit("nofile", 77, 99).sysctl({"net.core.somaxconn": "1234"})
    assert recipe.run("sh", "-c", show).text.split() == ["NoNewPrivs:", "1", "77", "99", "1234"]
    assert box.run("grep", "NoNewPrivs", "/proc/self/status").text.split() == ["NoNewPrivs:", "0"]


def test_paths_are_masked_and_unmasked(box: cl.ContainerRecipe) -> None:
    assert box.mask("/etc/passwd").run("cat", "/etc/passwd").text == ""
    write = ("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    assert b"Read-only" in box.run(*write, check=False).stderr
    assert box.unmask("/proc/sys").cap_add("NET_ADMIN").run(*write).exit_code == 0
    assert box.unmask("ALL").run("grep", "-c", " /proc/", "/proc/mounts", check=False).text == "0\n"


@pytest.mark.parametrize("word", ["apparmor", "selinux"])
def test_label_without_its_module_is_refused_and_not_dropped(box: cl.ContainerRecipe, word: str) -> None:
    on = {"apparmor": "/sys/kernel/security/apparmor", "selinux": "/sys/fs/selinux/enforce"}[word]
    if Path(on).exists():
        pytest.skip(f"{word} is on here")
    value = {"apparmor": "docker-default", "selinux": "system_u:system_r:container_t:s0"}[word]
    with pytest.raises(cl.Unsupported):
        getattr(box, word)(value).run("true")
    assert box.engine.containers.list() == []


# ---- ids ----


def ids(container: cl.Container) -> tuple[int, int]:
    """The first id on the host, and how many."""
    first, host, size = container.exec("cat", "/proc/self/uid_map").text.split()
    assert first == "0"
    return int(host), int(size)


def test_root_of_a_user_namespace_is_nobody_on_the_host(box: cl.ContainerRecipe) -> None:
    with box.userns(uids=MAP).start("sleep", "1000") as container:
        assert ids(container) == (300_000, 65_536)
        assert container.exec("sh", "-c", "id -u; stat -c %u:%g / /bin/busybox").text.split() == [
            "0",
            "0:0",
            "0:0",
        ]
        pids = container._instance.cgroup.pids()
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {300_000}


def test_root_of_a_user_namespace_writes_its_own_files(box: cl.ContainerRecipe) -> None:
    recipe = box.userns(uids=MAP)
    show = "touch /new /etc/new; echo 1.2.3.4 x >> /etc/hosts; stat -c %u:%g /new /etc/new /etc/hosts /etc"
    assert recipe.run("sh", "-c", show).text.split() == ["0:0"] * 4


def test_container_with_ids_of_its_own_starts_again_with_them(box: cl.ContainerRecipe) -> None:
    container = box.userns("auto").start(
        "sh", "-c", "cat /x 2>/dev/null; cat /proc/self/uid_map > /x", detach=True
    )
    container.wait(30.0)
    container.start()
    container.wait(30.0)
    (record,) = container.logs()
    assert record.text.split()[::2] == ["0", "65536"]
    container.remove()


def test_ids_are_no_other_containers(box: cl.ContainerRecipe) -> None:
    recipe = box.userns("auto")
    with recipe.start("sleep", "1000") as one, recipe.start("sleep", "1000") as other:
        (first, many), (second, _) = ids(one), ids(other)
        assert abs(first - second) >= many
        freed = min(first, second)
    with recipe.start("sleep", "1000") as again:
        assert ids(again)[0] == freed


def test_ids_that_stay_are_in_a_namespace_all_the_same(box: cl.ContainerRecipe) -> None:
    own = Path("/proc/self/ns/user").readlink()
    done = box.userns("keep-id").run("sh", "-c", "readlink /proc/self/ns/user; cat /proc/self/uid_map")
    assert done.text.split()[0] != str(own)
    assert done.text.split()[1:] == Path("/proc/self/uid_map").read_text().split()


def test_ids_of_another_container_are_the_same(box: cl.ContainerRecipe) -> None:
    show = ("readlink", "/proc/self/ns/user")
    with box.userns("auto").start("sleep", "1000") as other:
        member = box.userns(other)
        assert member.run(*show).text == other.exec(*show).text
        assert member.run("sh", "-c", "touch /new; stat -c %u /new /").text.split() == ["0", "0"]
    with box.start("sleep", "1000") as plain:
        assert box.userns(plain).run(*show).text.strip() == str(Path("/proc/self/ns/user").readlink())


def test_volume_has_the_same_ids_whoever_mounts_it(box: cl.ContainerRecipe) -> None:
    volume = box.engine.volume("v").create()
    recipe = box.userns("auto").mount(volume, at="/v")
    done = recipe.run("sh", "-c", "touch /v/file; chown 5:6 /v/file", check=False)
    if b"Invalid argument" in done.stderr:
        pytest.skip("this file system cannot be id-mapped")
    assert ((volume.path / "file").stat().st_uid, (volume.path / "file").stat().st_gid) == (5, 6)
    with recipe.start("sleep", "1000"):
        assert recipe.run("stat", "-c", "%u:%g", "/v/file").text == "5:6\n"


def test_run_with_ids_of_its_own_leaves_nothing(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    box.userns("auto").run("true")
    left_nothing()
    assert box.engine.core.store.database.query("SELECT * FROM id_ranges") == []


def test_device_elsewhere_is_the_right_one_in_a_user_namespace(box: cl.ContainerRecipe) -> None:
    recipe = box.userns("auto").device("/dev/zero", at="/dev/mine")
    assert recipe.run("sh", "-c", "head -c 3 /dev/mine | od -An -tx1").text.split() == ["00", "00", "00"]
