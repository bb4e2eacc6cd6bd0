"""What a container tells of itself, and what can be changed while it is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import until

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

BUSY = ("sh", "-c", "dd if=/dev/zero of=/dev/null bs=64k & exec sleep 1000")


@pytest.fixture
def busy(box: cl.ContainerRecipe) -> Iterator[cl.Container]:
    """One that is at work, with limits on all that there are limits for."""
    with box.limit(memory="64MiB", swap=0, cpus=0.5, pids=50).start(*BUSY) as container:
        yield container


# ---- stats ----


@pytest.mark.vm
def test_stats_of_a_limited_container_are_its_groups(busy: cl.Container) -> None:
    until(lambda: busy.stats().cpu.usage_ns > 0)
    stats = busy.stats()
    assert stats.time.utcoffset() is not None
    assert (stats.memory.limit_bytes, stats.pids.limit) == (64 << 20, 50)
    assert 0 < stats.memory.working_set_bytes <= stats.memory.usage_bytes < 64 << 20
    assert stats.pids.current >= 2
    assert stats.cpu.percent is None
    assert [network.name for network in stats.networks] == ["lo"]


def test_stats_without_limits_are_there_too(box: cl.ContainerRecipe) -> None:
    with box.start(*BUSY) as container:
        until(lambda: container.stats().cpu.usage_ns > 0)
        stats = container.stats()
    assert stats.memory.usage_bytes > 0
    assert stats.memory.limit_bytes is None
    assert (stats.pids.current >= 2, stats.pids.limit) == (True, None)


def test_stats_network_counts_what_goes_through_the_containers_interface(box: cl.ContainerRecipe) -> None:
    with box.start(
        "sh", "-c", "ping -c 3 -i 0.01 127.0.0.1 > /dev/null; touch /sent; exec sleep 1000"
    ) as container:
        container.wait_for(exec=("test", "-e", "/sent"))
        (lo,) = container.stats().networks
    assert (lo.name, lo.rx_packets, lo.rx_bytes) == ("lo", lo.tx_packets, lo.tx_bytes)
    assert lo.rx_packets >= 6


def test_stats_of_the_hosts_network_are_not_the_containers(box: cl.ContainerRecipe) -> None:
    with box.network("host").start("sleep", "1000") as container:
        assert container.stats().networks == ()


def test_stats_stream_has_percentages_and_ends_with_the_container(busy: cl.Container) -> None:
    samples = busy.stats(stream=True, every=0.2)
    first, second, third = (next(samples) for _ in range(3))
    assert first.cpu.percent is None
    assert second.cpu.percent is not None
    assert 0 < max(second.cpu.percent, third.cpu.percent or 0) < 200
    assert first.time < second.time < third.time
    busy.stop(timeout=0)
    assert len(list(samples)) <= 1


def test_stats_of_a_stopped_container_is_a_conflict(box: cl.ContainerRecipe) -> None:
    container = box.start("true", detach=True)
    try:
        container.wait()
        with pytest.raises(cl.Conflict, match="stopped"):
            container.stats()
        with pytest.raises(cl.Conflict, match="stopped"):
            container.stats(stream=True)
    finally:
        container.remove()


# ---- top ----


def test_top_has_each_process_with_both_numbers(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "sleep 999 & exec sleep 1000") as container:
        until(lambda: len(container.top()) == 2 and container.top()[0].argv == ("sleep", "1000"))
        first, second = container.top()
        assert (first.container_pid, first.argv, second.argv) == (1, ("sleep", "1000"), ("sleep", "999"))
        assert second.parent_pid == first.pid
        assert (first.uid, first.user) == (0, "root")
        assert Path(f"/proc/{first.pid}").exists()
        assert abs((first.started_at - container.created_at).total_seconds()) < 60
        container.pause()
        assert len(container.top()) == 2
        container.resume()


def test_top_user_without_a_name_is_the_number(box: cl.ContainerRecipe) -> None:
    with box.user(4321).start("sleep", "1000") as container:
        (row,) = container.top()
    assert (row.uid, row.user) == (4321, "4321")


def test_top_of_a_container_that_lies_about_its_users_does_not_follow_it_out(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "rm -f /etc/passwd; mkfifo /etc/passwd; exec sleep 1000") as container:
        container.wait_for(exec=("test", "-p", "/etc/passwd"))
        assert container.top()[0].user == "0"


# ---- update ----


@pytest.mark.vm
def test_update_changes_a_running_container_and_each_start_to_come(box: cl.ContainerRecipe) -> None:
    container = box.limit(memory="64MiB").start("sleep", "1000", detach=True)
    try:
        container.update(memory="96MiB", pids=77)
        stats = container.stats()
        assert (stats.memory.limit_bytes, stats.pids.limit) == (96 << 20, 77)
        again = box.engine.containers.get(container.id)
        container.stop(timeout=0)
        again.start()
        stats = again.stats()
        assert (stats.memory.limit_bytes, stats.pids.limit) == (96 << 20, 77)
        assert again.inspect().limits.pids == 77
    finally:
        container.remove(force=True)


def test_update_of_a_stopped_container_counts_at_its_start(box: cl.ContainerRecipe) -> None:
    container = box.start("sleep", "1000", detach=True)
    try:
        container.stop(timeout=0)
        container.update(pids=33)
        container.start()
        assert container.stats().pids.limit == 33
    finally:
        container.remove(force=True)


@pytest.mark.vm
def test_update_that_is_refused_changes_nothing(box: cl.ContainerRecipe) -> None:
    fill = "dd if=/dev/zero of=/dev/shm/full bs=1M count=30 2> /dev/null; touch /full; exec sleep 1000"
    with box.limit(memory="64MiB", swap=0, pids=20).start("sh", "-c", fill) as container:
        container.wait_for(exec=("test", "-e", "/full"))
        with pytest.raises(cl.Conflict, match="more than a limit"):
            container.update(memory="8MiB", pids=10)
        stats = container.stats()
        assert (stats.memory.limit_bytes, stats.pids.limit) == (64 << 20, 20)
        assert container.inspect().limits.pids == 20


def test_update_of_nothing_is_refused(busy: cl.Container) -> None:
    with pytest.raises(cl.InvalidArgument, match="nothing to change"):
        busy.update()


# ---- rename, inspect ----


def test_rename_is_seen_by_everybody(box: cl.ContainerRecipe) -> None:
    with box.name("before").start("sleep", "1000") as container, box.name("taken").start("sleep", "1000"):
        container.rename("after")
        assert container.name == "after"
        assert box.engine.containers.get("after") == container
        with pytest.raises(cl.NotFound):
            box.engine.containers.get("before")
        with pytest.raises(cl.AlreadyExists, match="taken"):
            container.rename("taken")
        with pytest.raises(cl.InvalidArgument):
            container.rename("not a name")


def test_inspect_says_what_was_asked_for(box: cl.ContainerRecipe) -> None:
    recipe = (
        box.name("web").env(MODE="prod").label(team="web").workdir("/tmp").limit(memory="64MiB", pids=9)
    ).mount(box.engine.volume("www"), at="/srv", read_only=True)
    with recipe.mount(cl.tmpfs(size="1MiB"), at="/scratch").start("sleep", "1000") as container:
        info = container.inspect()
        assert (info.name, info.state, info.network, info.detached) == (
            "web",
            cl.State.RUNNING,
            "none",
            False,
        )
        assert (info.argv, info.workdir, info.user) == (("sleep", "1000"), "/tmp", "0:0")
        assert (info.env["MODE"], info.labels, info.limits.pids) == ("prod", {"team": "web"}, 9)
        assert [(m.kind, m.target, m.volume, m.read_only) for m in info.mounts] == [
            ("volume", "/srv", "www", True),
            ("tmpfs", "/scratch", None, False),
        ]
        assert info.pid == container.top()[0].pid
        assert info.started_at is not None
        assert info.created_at <= info.started_at
        assert (info.exit, info.finished_at) == (None, None)
        document = json.loads(json.dumps(info.document()))
        assert (document["state"], document["mounts"][0]["volume"]) == ("running", "www")
        assert document["limits"]["memory_bytes"] == 64 << 20


def test_inspect_of_a_stopped_container_has_its_end(box: cl.ContainerRecipe) -> None:
    container = box.start("sh", "-c", "exit 3", detach=True)
    try:
        container.wait()
        info = container.inspect()
        assert (info.state, info.pid, info.detached) == (cl.State.STOPPED, None, True)
        assert info.exit is not None
        assert info.exit.exit_code == 3
        assert info.started_at is not None
        assert info.finished_at is not None
        assert info.started_at <= info.finished_at
        json.dumps(info.document())
    finally:
        container.remove()


def test_inspect_in_created_state_has_not_started(box: cl.ContainerRecipe) -> None:
    with box.create("sleep", "1000") as container:
        info = container.inspect()
    assert (info.state, info.started_at, info.exit) == (cl.State.CREATED, None, None)
