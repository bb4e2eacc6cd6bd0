"""The order and the undoing of writes, on a fake tree whose files refuse what the kernel's do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from containerlib.errors import Conflict, StageError, Unsupported
from containerlib.runtime.cgroups.apply import write_settings
from containerlib.runtime.cgroups.limits import Setting
from containerlib.runtime.cgroups.update import changed_settings, merged, old_value, refuse_too_little_memory


@pytest.mark.parametrize(
    ("file", "value", "text", "expected"),
    [
        ("pids.max", "5", "max\n", "max"),
        ("cpu.max", "5 6", "max 100000\n", "max 100000"),
        ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", "0"),
        ("io.weight", "9", "default 100\n8:0 5\n", "100"),
        ("io.weight", "8:0 9", "default 100\n8:0 5\n", "8:0 5"),
        ("io.weight", "8:16 9", "default 100\n", "8:16 default"),
        ("io.bfq.weight", "9", "default 100\n", "100"),
        (
            "io.max",
            "8:0 rbps=5",
            "8:0 rbps=1 wbps=max riops=max wiops=max\n",
            "8:0 rbps=1 wbps=max riops=max wiops=max",
        ),
        ("io.max", "8:0 rbps=5", "", "8:0 rbps=max wbps=max riops=max wiops=max"),
        ("blkio.throttle.read_bps_device", "8:0 5", "8:0 1\n8:16 2\n", "8:0 1"),
        ("blkio.throttle.read_bps_device", "8:0 5", "", "8:0 0"),
        ("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 3\n", "eth0 3"),
        ("rdma.max", "mlx hca_handle=5", "", "mlx hca_handle=max hca_object=max"),
        ("cpuset.cpus", "0", "\n", ""),
        ("unknown.table", "x", "a 1\nb 2\n", None),
    ],
)
def test_old_value_is_what_undoes_the_write(file: str, value: str, text: str, expected: str | None) -> None:
    assert old_value(Setting("x", file, value), text) == expected


def test_resources_after_an_update_have_what_it_did_not_name() -> None:
    before = {"memory": {"limit": 1, "swap": 2}, "pids": {"limit": 3}, "devices": [1]}
    after = merged(
        before, {"memory": {"limit": 9, "swap": None}, "cpu": {"shares": 4}, "pids": None, "devices": [2]}
    )
    assert after == {
        "memory": {"limit": 9, "swap": 2},
        "pids": {"limit": 3},
        "devices": [2],
        "cpu": {"shares": 4},
    }
    assert before["memory"] == {"limit": 1, "swap": 2}


@pytest.mark.parametrize(
    ("memory", "refused"),
    [
        ({"limit": 100}, False),
        ({"limit": 100, "checkBeforeUpdate": True}, True),
        ({"limit": 101, "checkBeforeUpdate": True}, False),
        ({"limit": -1, "checkBeforeUpdate": True}, False),
        ({"limit": 200, "swap": 100, "checkBeforeUpdate": True}, True),
        ({"checkBeforeUpdate": True}, False),
    ],
)
def test_limit_is_compared_with_the_usage_where_that_is_asked_for(
    memory: dict[str, int], refused: bool
) -> None:
    if not refused:
        refuse_too_little_memory({"memory": memory}, 100)
        return
    with pytest.raises(Conflict) as caught:
        refuse_too_little_memory({"memory": memory}, 100)
    assert caught.value.state == "running"


@pytest.fixture
def group(tmp_path: Path) -> Path:
    for name, value in (("a.max", "1"), ("b.max", "2"), ("c.max", "3")):
        (tmp_path / name).write_text(value)
    return tmp_path


def setting(file: str, value: str = "9", **words: object) -> Setting:
    return Setting("x", file, value, f"x.{file}", **words)  # type: ignore[arg-type]


def contents(group: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(group.iterdir()) if path.is_file()}


def test_missing_file_has_a_stand_in_or_is_optional_or_is_unsupported(group: Path) -> None:
    write_settings(
        [setting("none.max").or_else("a.max"), setting("none.max", optional=True)], lambda _: str(group)
    )
    assert contents(group)["a.max"] == "9"
    with pytest.raises(Unsupported, match=r"resources\.x\.none\.max.*'x'.*none\.max"):
        write_settings([setting("none.max")], lambda _: str(group))
    with pytest.raises(Unsupported, match=r"neither\.max"):
        write_settings([setting("none.max").or_else("neither.max")], lambda _: str(group))


def test_group_that_is_gone_is_a_conflict_and_no_missing_feature(group: Path) -> None:
    with pytest.raises(Conflict) as caught:
        write_settings([setting("a.max")], lambda _: f"{group}/gone")
    assert caught.value.state == "stopped"


def test_failed_update_sets_back_what_was_written(group: Path) -> None:
    (group / "b.max").unlink()
    (group / "b.max").mkdir()
    settings = [setting("a.max"), setting("c.max"), setting("b.max")]
    with pytest.raises(StageError) as caught, changed_settings(settings, lambda _: str(group)):
        pass
    assert caught.value.errno == errno.EISDIR
    assert contents(group) == {"a.max": "1", "c.max": "3"}
    assert not getattr(caught.value, "__notes__", [])


def test_update_that_fails_afterwards_sets_back_what_was_written(group: Path) -> None:
    def fail() -> None:
        assert contents(group)["a.max"] == "9"
        raise RuntimeError

    with pytest.raises(RuntimeError), changed_settings([setting("a.max")], lambda _: str(group)):
        fail()
    assert contents(group)["a.max"] == "1"


def test_what_cannot_be_set_back_is_noted(group: Path) -> None:
    def directory_of(_: str) -> str:
        return str(group)

    written: list[str] = []

    class Fragile(str):
        """A value at whose writing the file stops being one."""

        def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
            written.append(f"{self} {encoding} {errors}")
            (group / "a.max").unlink()
            os.mkdir(group / "a.max")  # noqa: PTH102
            raise OSError(errno.EIO, "the disk burns")

    settings = [setting("a.max"), setting("c.max", Fragile("5"))]
    with pytest.raises(StageError) as caught, changed_settings(settings, directory_of):
        pass
    assert written == ["5 utf-8 surrogateescape"]
    assert caught.value.__notes__ == [f"{group}/a.max could not be set back to '1'"]
