"""What a container wrote, read afterwards and while it writes."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest

import containerlib as cl
from rig.threads import at_once

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def test_logs_lines_streams_and_times_in_order(box: cl.ContainerRecipe) -> None:
    code = "for n in 1 2 3; do echo out$n; sleep 0.02; echo err$n >&2; sleep 0.02; done"
    before = datetime.now(UTC)
    with box.start("sh", "-c", code) as container:
        container.wait(10.0)
        records = list(container.logs())
    assert [(r.stream, r.text) for r in records] == [
        (stream, f"{stream[3:]}{n}") for n in (1, 2, 3) for stream in ("stdout", "stderr")
    ]
    times = [record.time for record in records]
    assert times == sorted(times)
    assert before - timedelta(seconds=1) <= times[0] <= datetime.now(UTC)


def test_logs_follow_ends_with_the_container_and_misses_nothing(box: cl.ContainerRecipe) -> None:
    code = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; printf unfinished"
    with box.start("sh", "-c", code) as container:
        texts = [record.text for record in container.logs(follow=True)]
    assert texts == [*(f"line {n}" for n in range(2000)), "unfinished"]


def test_logs_follow_sees_lines_as_they_come(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.3; done; sleep 60") as container:
        started = time.monotonic()
        assert [r.text for r in itertools.islice(container.logs(follow=True), 3)] == ["1", "2", "3"]
        assert time.monotonic() - started < 10


def test_logs_two_readers_see_the_same(box: cl.ContainerRecipe) -> None:
    code = "i=0; while [ $i -lt 100 ]; do echo $i; i=$((i+1)); done"
    with box.start("sh", "-c", code) as container:
        seen = at_once(lambda _: [record.text for record in container.logs(follow=True)], threads=2)
    assert seen == [[str(n) for n in range(100)]] * 2


def test_logs_since_leaves_out_what_is_older(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "echo old; sleep 0.2; echo new") as container:
        container.wait(10.0)
        old, new = container.logs()
        assert [record.text for record in container.logs(since=new.time)] == ["new"]
        assert old.time < new.time


def test_logs_long_line_and_bytes_that_are_no_text(box: cl.ContainerRecipe) -> None:
    code = "head -c 100000 /dev/zero | tr '\\0' x; echo; printf '\\377\\n'"
    with box.start("sh", "-c", code) as container:
        container.wait(10.0)
        texts = [record.text for record in container.logs()]
    assert texts == ["x" * 100_000, "\N{REPLACEMENT CHARACTER}"]


def test_logs_terminal_is_all_standard_output(box: cl.ContainerRecipe) -> None:
    with box.tty().start("sh", "-c", "echo out; echo err >&2") as container:
        container.wait(10.0)
        assert [(r.stream, r.text.rstrip("\r")) for r in container.logs()] == [
            ("stdout", "out"),
            ("stdout", "err"),
        ]


def test_logs_removed_container_not_found(box: cl.ContainerRecipe) -> None:
    container = box.start("true")
    container.remove(force=True)
    with pytest.raises(cl.NotFound):
        container.logs()
