"""What a container and its processes use: stats and top."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import until
from rig.lifetime import shim_of

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


def test_stats_of_memory_tell_files_that_could_go_and_kills(box: cl.ContainerRecipe) -> None:
    eat = "x=0123456789abcdef; while :; do x=$x$x; done"
    code = f"sh -c '{eat}'; dd if=/dev/zero of=/file bs=1M count=8 conv=fsync; touch /done"
    with box.limit(memory="32MiB", swap=0).start("sh", "-c", f"{code}; exec sleep 1000") as container:
        container.wait_for(exec=("test", "-e", "/done"), timeout=60.0)
        memory = container.stats().memory
    assert memory.usage_bytes - memory.working_set_bytes > 1 << 20
    assert memory.oom_kills == 1
    assert memory.peak_bytes is None or 30 << 20 < memory.peak_bytes <= 32 << 20


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


def test_stats_stream_ends_with_a_container_whose_end_nobody_has_told_yet(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "1000") as container:
        samples = container.stats(stream=True, every=0.01)
        next(samples)
        shim, (first,) = shim_of(container), container.top()
        os.kill(shim, signal.SIGSTOP)
        try:
            os.kill(first.pid, signal.SIGKILL)
            until(lambda: container.state is cl.State.STOPPED)
            assert list(samples) == []
        finally:
            os.kill(shim, signal.SIGCONT)


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
        programs = [("sleep", "1000"), ("sleep", "999")]
        until(lambda: [row.argv for row in container.top()] == programs)
        first, second = container.top()
        assert first.container_pid == 1
        assert second.container_pid > 1
        assert (first.state, first.threads) == ("S", 1)
        assert first.memory_bytes >= 4096
        assert second.parent_pid == first.pid
        assert (first.uid, first.user) == (0, "root")
        assert Path(f"/proc/{first.pid}").exists()
        assert abs((first.started_at - container.created_at).total_seconds()) < 60
        container.pause()
        assert len(container.top()) == 2
        container.resume()


def test_top_has_what_a_process_has_used(busy: cl.Container) -> None:
    until(lambda: max(row.cpu_ns for row in busy.top()) > 10**7)
    assert min(row.cpu_ns for row in busy.top()) < 10**9


def test_top_user_without_a_name_is_the_number(box: cl.ContainerRecipe) -> None:
    with box.user(4321).start("sleep", "1000") as container:
        (row,) = container.top()
    assert (row.uid, row.user) == (4321, "4321")


def test_top_of_a_container_that_lies_about_its_users_does_not_follow_it_out(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "rm -f /etc/passwd; mkfifo /etc/passwd; exec sleep 1000") as container:
        container.wait_for(exec=("test", "-p", "/etc/passwd"))
        assert container.top()[0].user == "0"
