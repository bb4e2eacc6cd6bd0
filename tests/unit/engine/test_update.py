"""Other limits: what they become, and that a refusal leaves the configuration as it was."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from containerlib.engine.instance import Memo
from containerlib.engine.update import limits_of, update
from containerlib.engine.words_resources import limits
from containerlib.errors import Conflict, InvalidArgument, StageError
from containerlib.runtime.cgroups.stats import CgroupStats, MemoryAmount, MemoryStats
from containerlib.spec.lifecycle import State
from containerlib.spec.options import Limits

MIB = 1 << 20
BEFORE = {
    "memory": {"limit": 64 * MIB, "swap": 128 * MIB},
    "cpu": {"quota": 50_000, "period": 100_000},
    "pids": {"limit": 9},
}


class Cgroup:
    """Takes changes, or refuses them as the kernel might."""

    def __init__(self, refusal: Exception | None, used: MemoryStats | None = None) -> None:
        self.refusal = refusal
        self.used = used
        self.changes: list[dict[str, Any]] = []

    def stats(self) -> CgroupStats:
        return CgroupStats(memory=self.used)

    def update(self, changes: dict[str, Any]) -> None:
        if self.refusal:
            raise self.refusal
        self.changes.append(changes)


def instance(
    directory: Path,
    *,
    state: State = State.RUNNING,
    refusal: Exception | None = None,
    memory: dict[str, int] | None = None,
    used: MemoryStats | None = None,
) -> Any:
    resources = BEFORE if memory is None else {**BEFORE, "memory": memory}
    config = {"ociVersion": "1.1.0", "process": {"args": ["x"]}, "linux": {"resources": resources}}
    directory.joinpath("config.json").write_text(json.dumps(config))
    return SimpleNamespace(
        directory=str(directory),
        state=state,
        cgroup=Cgroup(refusal, used),
        subject="container 'web'",
        id="x",
        record=SimpleNamespace(name="web", image_reference="i"),
        memo=Memo(),
        core=SimpleNamespace(store=SimpleNamespace(events=SimpleNamespace(note=lambda _: None))),
        refresh=lambda _: None,
    )


def written(directory: Path) -> Any:
    return json.loads(directory.joinpath("config.json").read_text())["linux"]["resources"]


def ask(target: Any, **words: Any) -> None:
    update(target, limits(Limits(), **words))


def test_limits_of_a_configuration_are_the_recipes() -> None:
    assert limits_of(BEFORE) == Limits(64 * MIB, 64 * MIB, 0.5, 9)  # type: ignore[arg-type]
    assert limits_of({}) == Limits()


def test_limits_that_a_configuration_lifts_are_none() -> None:
    assert limits_of({"memory": {"limit": 5, "swap": -1}}) == Limits(5, -1)
    assert limits_of({"memory": {"limit": 5}}) == Limits(5)
    assert limits_of({"memory": {"swap": 5}}) == Limits()
    assert limits_of({"pids": {"limit": -1}}) == limits_of({"pids": {"limit": 0}}) == Limits()
    assert limits_of({"cpu": {"quota": -1, "period": 100_000}}) == Limits(cpu_quota=-1, cpu_period=100_000)
    assert limits_of({"cpu": {"quota": 50_000}}) == Limits(cpus=0.5)
    assert limits_of({"cpu": {"cpus": "0-1", "mems": "0"}}) == Limits(cpuset="0-1", mems="0")


def test_update_keeps_what_is_not_given_and_swap_as_much_as_memory(tmp_path: Path) -> None:
    container = instance(tmp_path)
    ask(container, memory="96MiB")
    assert written(tmp_path) == {**BEFORE, "memory": {"limit": 96 * MIB, "swap": 192 * MIB}}
    assert container.cgroup.changes[0]["memory"] == {"limit": 96 * MIB, "swap": 192 * MIB}


def test_update_keeps_a_swap_that_was_chosen(tmp_path: Path) -> None:
    ask(instance(tmp_path), swap="8MiB")
    assert written(tmp_path)["memory"] == {"limit": 64 * MIB, "swap": 72 * MIB}


@pytest.mark.parametrize(
    ("old", "words", "memory"),
    [
        ({"limit": 64, "swap": 72}, {"memory": 96 * MIB}, {"limit": 96 * MIB, "swap": 96 * MIB + 8}),
        ({"limit": 64, "swap": 128}, {"memory": 96, "swap": 8}, {"limit": 96, "swap": 104}),
        ({"limit": 64, "swap": 128}, {"swap": 0}, {"limit": 64, "swap": 64}),
        ({"limit": 64, "swap": 128}, {"swap": -1}, {"limit": 64, "swap": -1}),
        ({"limit": 64, "swap": -1}, {"memory": 96}, {"limit": 96, "swap": -1}),
        (
            {"limit": 64, "swap": 128, "reservation": 8},
            {"memory": 96},
            {"limit": 96, "swap": 192, "reservation": 8},
        ),
        ({"reservation": 8}, {"memory": 96}, {"limit": 96, "swap": 192, "reservation": 8}),
        (
            {"limit": 64, "swap": 128},
            {"memory_reservation": 64},
            {"limit": 64, "swap": 128, "reservation": 64},
        ),
        ({}, {"memory_reservation": 64}, {"reservation": 64}),
    ],
)
def test_update_of_memory_keeps_together_what_belongs_together(
    tmp_path: Path, old: dict[str, int], words: dict[str, int], memory: dict[str, int]
) -> None:
    ask(instance(tmp_path, memory=old), **words)
    assert written(tmp_path)["memory"] == memory


def test_update_of_memory_below_a_reservation_that_was_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="above memory"):
        ask(instance(tmp_path, memory={"limit": 64, "swap": 128, "reservation": 32}), memory=16)


USED = MemoryStats(usage=MemoryAmount(10 * MIB), stat={"inactive_file": 2 * MIB})


@pytest.mark.parametrize("limit", [4 * MIB, 8 * MIB])
def test_update_to_less_memory_than_is_needed_is_refused(tmp_path: Path, limit: int) -> None:
    """cgroup v2 would kill for it. What of the page cache could go at once is not needed."""
    with pytest.raises(Conflict, match=f"uses {8 * MIB} bytes"):
        ask(instance(tmp_path, used=USED), memory=limit)
    assert written(tmp_path) == BEFORE


def test_update_to_less_memory_than_is_used_by_nobody_or_at_once_is_done(tmp_path: Path) -> None:
    ask(instance(tmp_path, used=USED), memory=8 * MIB + 4096)
    assert written(tmp_path)["memory"]["limit"] == 8 * MIB + 4096
    ask(instance(tmp_path, used=USED, state=State.STOPPED), memory=MIB)
    assert written(tmp_path)["memory"]["limit"] == MIB
    ask(instance(tmp_path, used=USED), pids=5)
    assert written(tmp_path)["pids"] == {"limit": 5}


def test_update_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="nothing to change"):
        ask(instance(tmp_path))


def test_update_that_the_kernel_refuses_leaves_the_configuration(tmp_path: Path) -> None:
    container = instance(tmp_path, refusal=StageError("cgroup", 16, "pids.max"))
    with pytest.raises(StageError):
        ask(container, pids=3)
    assert written(tmp_path) == BEFORE


def test_update_of_a_stopped_container_asks_no_group(tmp_path: Path) -> None:
    container = instance(tmp_path, state=State.STOPPED, refusal=StageError("cgroup", 2))
    ask(container, cpus=2)
    assert written(tmp_path)["cpu"] == {"quota": 200_000, "period": 100_000}


@pytest.mark.parametrize(
    ("word", "value", "place", "written_as"),
    [
        ("memory_reservation", "32MiB", "memory.reservation", 32 * MIB),
        ("swappiness", 10, "memory.swappiness", 10),
        ("cpu_shares", 512, "cpu.shares", 512),
        ("cpu_quota", -1, "cpu.quota", -1),
        ("cpu_period", 50_000, "cpu.period", 50_000),
        ("cpu_rt_runtime", 950_000, "cpu.realtimeRuntime", 950_000),
        ("cpu_rt_period", 1_000_000, "cpu.realtimePeriod", 1_000_000),
        ("cpuset", "0", "cpu.cpus", "0"),
        ("mems", 0, "cpu.mems", "0"),
        ("blkio_weight", 300, "blockIO.weight", 300),
        ("pids", -1, "pids.limit", -1),
    ],
)
def test_update_of_one_limit_is_written_and_leaves_the_others(
    tmp_path: Path, word: str, value: Any, place: str, written_as: Any
) -> None:
    container = instance(tmp_path)
    ask(container, **{word: value})
    section, _, key = place.partition(".")
    expected: dict[str, Any] = BEFORE
    assert written(tmp_path) == {**expected, section: {**expected.get(section, {}), key: written_as}}
    assert {*container.cgroup.changes[0]} == {section}


def test_update_of_a_page_size_keeps_those_of_others(tmp_path: Path) -> None:
    container = instance(tmp_path)
    ask(container, hugepages={"2MB": "4MiB"})
    ask(container, hugepages={"1GB": "1GiB"})
    assert [each["pageSize"] for each in written(tmp_path)["hugepageLimits"]] == ["2MB", "1GB"]


def test_update_of_a_reservation_above_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="above memory"):
        ask(instance(tmp_path), memory_reservation="65MiB")
    assert written(tmp_path) == BEFORE


def test_limits_of_processor_time_by_hand_are_what_was_written() -> None:
    by_hand = limits_of({"cpu": {"quota": 20_000, "period": 50_000}})
    assert (by_hand.cpus, by_hand.cpu_quota, by_hand.cpu_period) == (None, 20_000, 50_000)
