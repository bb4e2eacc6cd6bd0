"""Namespaces that a container has from the host or from another container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

SHOW = ("sh", "-c", "cd /proc/self/ns; for n in pid ipc uts net cgroup; do readlink $n; done")


def host(*kinds: str) -> list[str]:
    return [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds]


@pytest.fixture
def other(box: cl.ContainerRecipe) -> Iterator[cl.Container]:
    recipe = box.name("other").hostname("donor").ipc("shareable")
    with recipe.start("sh", "-c", "trap exit TERM; sleep 1000 & wait") as container:
        yield container


def test_namespaces_of_the_host_are_the_hosts(box: cl.ContainerRecipe) -> None:
    recipe = box.pid("host").ipc("host").uts("host").network("host").cgroupns("host")
    assert recipe.run(*SHOW).text.split() == host("pid", "ipc", "uts", "net", "cgroup")


def test_namespaces_without_a_word_are_its_own(box: cl.ContainerRecipe) -> None:
    assert set(box.run(*SHOW).text.split()).isdisjoint(host("pid", "ipc", "uts", "net", "cgroup"))


def test_namespaces_of_another_container_are_the_same(box: cl.ContainerRecipe, other: cl.Container) -> None:
    recipe = box.pid(other).ipc(other).uts(other).network(other)
    assert recipe.run(*SHOW).text.split()[:4] == other.exec(*SHOW).text.split()[:4]
    assert recipe.run("hostname").text == "donor\n"
    assert "sleep 1000" in recipe.run("ps").text


def test_network_of_another_container_has_its_names(box: cl.ContainerRecipe, other: cl.Container) -> None:
    other.exec("sh", "-c", "echo 10.1.2.3 late >> /etc/hosts")
    assert "late" in box.network(other).run("cat", "/etc/hosts").text


def test_processes_of_the_host_are_seen_and_the_containers_end_with_it(box: cl.ContainerRecipe) -> None:
    recipe = box.pid("host")
    with recipe.start("sh", "-c", "sleep 987654 & sleep 987654") as container:
        assert (
            f"\n{os.getpid()} " in container.exec("sh", "-c", "echo; ps -o pid | sed 's/^ *//; s/$/ /'").text
        )
    cmdlines = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert not any(b"987654" in line for line in cmdlines)


def test_container_that_does_not_run_lends_nothing(box: cl.ContainerRecipe, other: cl.Container) -> None:
    recipe = box.network(other)
    other.stop(timeout=0.0)
    with pytest.raises(cl.Conflict, match=r"'other'.*does not run"):
        recipe.run("true")
    assert [container.name for container in box.engine.containers.list()] == ["other"]


def test_container_that_was_removed_lends_nothing(box: cl.ContainerRecipe, other: cl.Container) -> None:
    recipe = box.pid(other)
    other.remove(force=True)
    with pytest.raises(cl.NotFound):
        recipe.run("true")


def test_container_that_starts_again_joins_again(box: cl.ContainerRecipe, other: cl.Container) -> None:
    member = box.network(other).start("readlink", "/proc/self/ns/net", detach=True)
    member.wait(30.0)
    other.stop(timeout=0.0)
    with pytest.raises(cl.Conflict):
        member.start()
    other.start()
    member.start()
    member.wait(30.0)
    last = [record.text for record in member.logs()][-1]
    assert last == other.exec("readlink", "/proc/self/ns/net").text.strip()
    member.remove()


def test_ipc_that_is_private_is_not_lent(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "100") as private:
        with pytest.raises(cl.Conflict, match=r'ipc\("shareable"\)'):
            box.ipc(private).run("true")


def test_ipc_of_another_container_has_its_shared_memory(box: cl.ContainerRecipe, other: cl.Container) -> None:
    other.exec("sh", "-c", "echo hello > /dev/shm/word")
    with box.ipc(other).start("sleep", "1000") as member:
        assert member.exec("cat", "/dev/shm/word").text == "hello\n"
        member.exec("touch", "/dev/shm/back")
        assert other.exec("ls", "/dev/shm").text == "back\nword\n"
        options = member.exec("grep", " /dev/shm ", "/proc/mounts").text.split()[3].split(",")
        assert set(options) >= {"rw", "nosuid", "nodev", "noexec"}
        other.stop(timeout=0.0)
        assert member.exec("cat", "/dev/shm/word").text == "hello\n", "as long as somebody has it"


def test_ipc_of_another_container_is_that_of_its_last_start(
    box: cl.ContainerRecipe, other: cl.Container
) -> None:
    other.exec("touch", "/dev/shm/first")
    other.stop(timeout=0.0)
    other.start()
    other.exec("touch", "/dev/shm/second")
    assert box.ipc(other).run("ls", "/dev/shm").text == "second\n"


def test_ipc_of_a_container_that_has_the_hosts_is_the_hosts(box: cl.ContainerRecipe) -> None:
    with box.ipc("host").start("sleep", "100") as shared:
        found = (
            box.ipc(shared).run("sh", "-c", "readlink /proc/self/ns/ipc; stat -c %d /dev/shm").text.split()
        )
    assert found == [*host("ipc"), str(Path("/dev/shm").stat().st_dev)]


def test_ipc_of_a_container_in_a_user_namespace_is_shared_by_one_in_it(box: cl.ContainerRecipe) -> None:
    donor = box.userns("auto").ipc("shareable")
    with donor.start("sh", "-c", "echo hello > /dev/shm/word; exec sleep 100") as first:
        first.wait_for(exec=("test", "-s", "/dev/shm/word"))
        recipe = box.userns(first).ipc(first).network(first)
        show = "cat /dev/shm/word; touch /dev/shm/mine; stat -c %u /dev/shm /dev/shm/word /dev/shm/mine"
        assert recipe.run("sh", "-c", show).text.split() == ["hello", "0", "0", "0"]


def test_user_namespace_of_a_container_that_has_the_hosts_is_the_hosts(
    box: cl.ContainerRecipe, other: cl.Container
) -> None:
    own = str(Path("/proc/self/ns/user").readlink())
    assert box.userns(other).run("readlink", "/proc/self/ns/user").text.strip() == own


def test_ipc_of_another_container_leaves_shared_memory_of_its_own_alone(
    box: cl.ContainerRecipe, other: cl.Container
) -> None:
    recipe = box.ipc(other).mount(cl.tmpfs(), at="/dev/shm")
    assert recipe.run("sh", "-c", "ls /dev/shm | wc -l; touch /dev/shm/own").text == "0\n"
    assert other.exec("ls", "/dev/shm").text == ""
    with pytest.raises(cl.InvalidArgument):
        box.ipc(other).shm_size("1MiB").run("true")


def test_ipc_none_is_lent_to_nobody(box: cl.ContainerRecipe) -> None:
    with box.ipc("none").start("sleep", "100") as private:
        with pytest.raises(cl.Conflict, match=r'ipc\("shareable"\)'):
            box.ipc(private).run("true")


def test_ipc_none_has_no_shared_memory(box: cl.ContainerRecipe) -> None:
    assert box.ipc("none").run("sh", "-c", "grep -c /dev/shm /proc/mounts", check=False).text == "0\n"


def test_exec_in_a_container_that_joined_is_where_that_is(
    box: cl.ContainerRecipe, other: cl.Container
) -> None:
    with box.pid(other).network(other).start("sleep", "100") as member:
        assert member.exec(*SHOW).text.split()[3] == other.exec(*SHOW).text.split()[3]
        assert member.exec(*SHOW).text.split()[0] == other.exec(*SHOW).text.split()[0]
