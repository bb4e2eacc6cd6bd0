"""Programs that may have fewer files open than their start needs: the limit is theirs, and not the helper's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rig.bundles import Rack, until
from rig.oci import Bundle, Command

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

TOLD = ("sh", "-c", "ulimit -Sn; ulimit -Hn")
LIMITS = pytest.mark.parametrize("soft", [0, 1, 2, 3, 4, 5, 6, 20, 127])
HARDS = pytest.mark.parametrize("hard", ["the same", 1000])


def limited(soft: int, hard: int | str, **linux: Any) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        limit = {"type": "RLIMIT_NOFILE", "soft": soft, "hard": soft if hard == "the same" else hard}
        spec["process"]["rlimits"] = [limit]
        spec["linux"].update(linux)

    return change


def expected(soft: int, hard: int | str) -> str:
    return f"{soft}\n{soft if hard == 'the same' else hard}"


@LIMITS
@HARDS
@pytest.mark.parametrize("hold", [False, True])
def test_program_that_may_open_few_files_is_started(
    rack: Rack, soft: int, hard: int | str, hold: bool
) -> None:
    container = rack.create(*TOLD, change=limited(soft, hard), hold=hold)
    if hold:
        container.supervisor.start()
    assert container.finish().text == expected(soft, hard)


@LIMITS
def test_program_that_may_open_few_files_is_executed(rack: Rack, soft: int) -> None:
    container = rack.create("sleep", "60")
    limits = [{"type": "RLIMIT_NOFILE", "soft": soft, "hard": soft}]
    assert container.output(*TOLD, rlimits=limits).text == expected(soft, "the same")


@LIMITS
def test_start_hooks_of_a_program_that_may_open_few_files_have_room(rack: Rack, soft: int) -> None:
    def change(spec: dict[str, Any]) -> None:
        limited(soft, "the same")(spec)
        hook = {"path": "/bin/sh", "args": ["sh", "-c", "cat >/made && ls / | grep made"]}
        spec["hooks"] = {"startContainer": [hook]}

    container = rack.create(*TOLD, change=change, hold=True)
    container.supervisor.start()
    assert container.finish().text == expected(soft, "the same")


@LIMITS
def test_program_that_may_open_few_files_is_created_and_started_by_the_command(
    oci: Command, bundle: Bundle, tmp_path: Path, soft: int
) -> None:
    out = tmp_path / "out"
    with out.open("w") as file:
        oci.create(bundle(*TOLD, change=limited(soft, "the same")), "c1", stdout=file).ok()
    oci("start", "c1").ok()
    until(lambda: oci.state("c1")["status"] == "stopped")
    assert out.read_text() == expected(soft, "the same") + "\n"


@LIMITS
def test_descriptors_beyond_the_programs_limit_are_still_given_to_it(rack: Rack, soft: int) -> None:
    ends = os.pipe()
    container = rack.create("sleep", "60", change=limited(soft, "the same"), preserve=ends)
    there = [Path(f"/proc/{container.supervisor.pid}/fd/{fd}").readlink() for fd in (3, 4)]
    assert there == [Path(f"/proc/self/fd/{fd}").readlink() for fd in ends]
    for fd in ends:
        os.close(fd)


def test_filter_that_refuses_limits_comes_after_the_last_limit(rack: Rack) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["prlimit64"], "action": "SCMP_ACT_ERRNO"}],
    }
    done = rack.run("grep", "open files", "/proc/self/limits", change=limited(5, 5, seccomp=profile))
    assert done.text.split()[3:5] == ["5", "5"]
