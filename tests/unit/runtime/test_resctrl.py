"""Classes of service: what is made, found, compared, written and removed, on a directory in the kernel's place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from containerlib.errors import Conflict, InvalidArgument, NotFound, StageError, Unsupported
from containerlib.runtime.plan.resctrl import (
    assign,
    changed_schemata,
    find_resctrl,
    group_of,
    lines_of,
    move_tasks,
)
from containerlib.spec.runtime import IntelRdt

GOLD = "    L3:0=7ff;1=00f\n    MB:0=  20;1= 100\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The kernel fills a directory when it is made; here only what is there before has files."""
    root = tmp_path / "resctrl"
    for place in (root, root / "gold"):
        place.mkdir()
        place.joinpath("schemata").write_text(GOLD)
        place.joinpath("tasks").write_text("")
        place.joinpath("mon_groups").mkdir()
    root.joinpath("info").mkdir()
    return root


def below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}


BEFORE = {"gold", "gold/mon_groups", "mon_groups", "info"}


def test_class_that_is_not_named_is_the_containers_own_and_goes_with_it(root: Path) -> None:
    group = assign({}, "one", root=str(root))
    assert below(root) == BEFORE | {"one"}
    assert group.task_files == (f"{root}/one/tasks",)
    group.remove()
    group.remove()
    assert below(root) == BEFORE


def test_class_that_is_there_is_joined_and_stays(root: Path) -> None:
    group = assign({"closID": "gold"}, "one", root=str(root))
    assert group.task_files == (f"{root}/gold/tasks",)
    group.remove()
    assert below(root) == BEFORE


def test_class_that_is_not_there_and_has_no_schema_is_refused(root: Path) -> None:
    with pytest.raises(NotFound, match=r"linux\.intelRdt\.closID silver"):
        assign({"closID": "silver"}, "one", root=str(root))
    assert below(root) == BEFORE


def test_class_of_the_root_is_the_root(root: Path) -> None:
    assert assign({"closID": "/"}, "one", root=str(root)).task_files == (f"{root}/tasks",)


def test_monitoring_has_a_group_of_the_containers_own_in_its_class(root: Path) -> None:
    group = assign({"closID": "gold", "enableMonitoring": True}, "one", root=str(root))
    assert group.task_files == (f"{root}/gold/tasks", f"{root}/gold/mon_groups/one/tasks")
    assert below(root) == BEFORE | {"gold/mon_groups/one"}
    assert group_of({"closID": "gold", "enableMonitoring": True}, "one", str(root)) == group
    group.remove()
    assert below(root) == BEFORE


def test_monitoring_that_cannot_be_made_leaves_nothing(root: Path) -> None:
    """What is made here has no mon_groups: as where the processor has no more monitors."""
    with pytest.raises(StageError, match="mon_groups/one"):
        assign({"enableMonitoring": True}, "one", root=str(root))
    assert below(root) == BEFORE


def test_schema_that_is_refused_leaves_nothing_and_says_why(root: Path) -> None:
    """What is made here has no schemata either."""
    root.joinpath("info/last_cmd_status").write_text("Mask 0 is out of range\n")
    with pytest.raises(StageError, match=r"L3:0=0 .*Mask 0 is out of range"):
        assign({"closID": "silver", "schemata": ["L3:0=0"]}, "one", root=str(root))
    assert below(root) == BEFORE


@pytest.mark.parametrize(
    "rdt",
    [
        {"closID": "gold", "l3CacheSchema": "L3:0=7ff;1=f"},
        {"closID": "gold", "l3CacheSchema": "L3:1=00f"},
        {"closID": "gold", "memBwSchema": "MB:0=20;1=100", "l3CacheSchema": "L3:0=7FF"},
    ],
)
def test_schema_of_a_class_that_is_there_may_be_the_same(root: Path, rdt: IntelRdt) -> None:
    assign(rdt, "one", root=str(root))
    assert root.joinpath("gold/schemata").read_text() == GOLD


@pytest.mark.parametrize(
    "rdt",
    [
        {"closID": "gold", "l3CacheSchema": "L3:0=1"},
        {"closID": "gold", "l3CacheSchema": "L3:5=7ff"},
        {"closID": "gold", "l3CacheSchema": "L2:0=7ff"},
        {"closID": "gold", "memBwSchema": "MB:0=30"},
    ],
)
def test_schema_of_a_class_that_is_there_may_not_be_another(root: Path, rdt: IntelRdt) -> None:
    with pytest.raises(Conflict, match="another schema"):
        assign(rdt, "one", root=str(root))


def test_schemata_are_written_as_they_are_to_a_class_that_is_there(root: Path) -> None:
    """The file takes a line at a time; this one keeps only the last, from its beginning on."""
    assign({"closID": "gold", "schemata": ["L2:0=f", "MB:0=20;1=70"]}, "one", root=str(root))
    assert root.joinpath("gold/schemata").read_text().startswith("MB:0=20;1=70\n")


def test_class_of_the_containers_name_that_is_anothers_is_not_taken(root: Path) -> None:
    with pytest.raises(Conflict, match="not this container's"):
        assign({}, "gold", root=str(root))


@pytest.mark.parametrize("name", [".", "..", "a/b", "/a"])
def test_class_with_a_name_that_leads_elsewhere_is_refused(root: Path, name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        assign({"closID": name, "schemata": ["MB:0=1"]}, "one", root=str(root))
    assert caught.value.field == "linux.intelRdt.closID"


def test_schema_of_two_lines_is_refused(root: Path) -> None:
    with pytest.raises(InvalidArgument, match="more than one line"):
        assign({"closID": "gold", "schemata": ["MB:0=1\nL3:0=1"]}, "one", root=str(root))


# ---- of a container at work ----


def test_schemas_are_in_the_order_in_which_they_are_written() -> None:
    rdt: IntelRdt = {"schemata": ["L2:0=1"], "memBwSchema": "MB:0=1", "l3CacheSchema": "L3:0=1\nL3CODE:0=1"}
    assert lines_of(rdt) == ["L3:0=1", "L3CODE:0=1", "MB:0=1", "L2:0=1"]


def schemata(root: Path, text: str) -> Path:
    """A file that keeps what is written to it, from its beginning on; the kernel's has a line for each resource."""
    path = root / "gold/schemata"
    path.write_text(text)
    return path


def test_changed_schema_is_the_classs(root: Path) -> None:
    path = schemata(root, "MB:0=100\n")
    with changed_schemata(group_of({"closID": "gold"}, "one", str(root)), ["MB:0=050"], str(root)):
        pass
    assert path.read_text() == "MB:0=050\n"


def test_changed_schema_is_as_before_where_something_fails_later(root: Path) -> None:
    path = schemata(root, "MB:0=100\n")
    group = group_of({"closID": "gold"}, "one", str(root))

    def fail() -> None:
        assert path.read_text() == "MB:0=050\n"
        raise RuntimeError

    with pytest.raises(RuntimeError), changed_schemata(group, ["MB:0=050"], str(root)):
        fail()
    assert path.read_text() == "MB:0=100\n"


def test_changed_schema_is_as_before_where_a_later_one_is_refused(root: Path) -> None:
    path = schemata(root, "MB:0=100\n")
    group = group_of({"closID": "gold"}, "one", str(root))
    with (
        pytest.raises(InvalidArgument, match="more than one line"),
        changed_schemata(group, ["MB:0=050", "MB:0=1\nL3:0=1"], str(root)),
    ):
        pass
    assert path.read_text() == "MB:0=100\n"


def test_only_what_was_changed_is_brought_back(root: Path) -> None:
    """The rest may be another's, who changes it meanwhile."""
    path = schemata(root, "    L3:0=7ff\n    MB:0=100\n")
    group = group_of({"closID": "gold"}, "one", str(root))
    with pytest.raises(InvalidArgument), changed_schemata(group, ["MB:0=050", "\n"], str(root)):
        pass
    assert path.read_text().startswith("    MB:0=100\n")


def test_class_that_is_gone_is_named(root: Path) -> None:
    group = group_of({"closID": "silver"}, "one", str(root))
    with pytest.raises(StageError, match="silver/schemata"), changed_schemata(group, ["MB:0=1"], str(root)):
        pass


def test_threads_of_processes_at_work_are_all_moved_also_those_made_meanwhile(
    root: Path, tmp_path: Path
) -> None:
    tasks = root / "gold/tasks"
    tasks.unlink()
    os.mkfifo(tasks)  # what is written to it one after the other
    for task in ("7/task/7", "7/task/8", "9/task/9"):
        (tmp_path / "proc" / task).mkdir(parents=True)
    listings = [[7, 30], [7, 9], [7, 9]]  # 30 has ended
    with os.fdopen(os.open(tasks, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        group = group_of({"closID": "gold"}, "one", str(root))
        move_tasks(group, lambda: listings.pop(0), proc=str(tmp_path / "proc"))
        assert sorted(reader.read()) == sorted(b"789")
    assert listings == []


def test_file_system_is_found_where_it_is_mounted(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "20 1 0:5 / /proc rw - proc proc rw\n25 1 0:9 / /mnt/res\\040ctrl rw,nosuid shared:3 - resctrl resctrl rw\n"
    )
    assert find_resctrl(str(mountinfo)) == "/mnt/res ctrl"


def test_file_system_that_is_not_mounted_is_unsupported(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text("20 1 0:5 / /proc rw - proc resctrl rw\n")
    with pytest.raises(Unsupported, match="mount -t resctrl resctrl"):
        find_resctrl(str(mountinfo))
