"""The log that a supervisor writes: over rotations, on a full disk, at its restart, for lines without an end."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.runtime import Stdio, connect
from containerlib.shim import read_log, read_log_bytes
from containerlib.spec.log import LogOptions
from containerlib.spec.options import ContainerOptions, MountOption
from rig.bundles import Bundled, Rack, shim_of, until
from rig.host import has_sanitizers

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")
COUNT = "i=0; while [ $i -lt {n} ]; do echo line $i; i=$((i+1)); done"
LARGEST = 32_768 if has_sanitizers() else 2048
"""Of a busy supervisor, in KiB."""
MISSING = re.compile(r"containerlib: (\d+) lines \((\d+) bytes\) are missing here: .*\(errno 28\)")


def log_files(directory: str) -> list[Path]:
    found = [path for path in Path(directory).iterdir() if re.fullmatch(r"log(\.\d+)?", path.name)]
    return sorted(found, key=lambda path: int(path.suffix[1:] or 0), reverse=True)


def assert_whole(directory: str) -> None:
    """No file has a torn record."""
    for path in log_files(directory):
        for line in path.read_bytes().splitlines(keepends=True):
            assert re.match(rb"\d{4}-\d\d-\d\dT[\d:.]{18}Z std(out|err) [FP] .*\n$", line, re.DOTALL), line


def test_log_rotates_by_size_and_keeps_so_many_files_of_whole_lines(rack: Rack) -> None:
    container = rack.create("sh", "-c", COUNT.format(n=2000), log=LogOptions(8192, 3))
    container.finish()
    files = log_files(container.directory)
    assert [path.name for path in files] == ["log.2", "log.1", "log"]
    assert all(path.stat().st_size <= 2 * 8192 for path in files)
    assert_whole(container.directory)
    texts = [r.text for r in read_log(container.directory)]
    assert texts == [f"line {n}" for n in range(2000 - len(texts), 2000)]
    assert len(texts) > 300


def test_log_rotated_while_a_program_floods_it_is_whole_and_in_order(rack: Rack) -> None:
    """Batches of many lines are cut where a file is full."""
    container = rack.create("sh", "-c", "seq 1 200000", log=LogOptions(100_000, 100))
    container.finish()
    assert_whole(container.directory)
    assert all(path.stat().st_size <= 100_000 for path in log_files(container.directory))
    texts = [r.text for r in read_log(container.directory)]
    assert texts == [str(n) for n in range(200_001 - len(texts), 200_001)]


def test_log_line_that_has_begun_in_a_file_ends_there(rack: Rack) -> None:
    """It comes in pieces, between any two of which the file may be full; a reader of one file has whole lines."""
    half = "x" * 150
    script = f"i=0; while [ $i -lt 100 ]; do printf {half}; usleep 2000; echo {half}; i=$((i+1)); done"
    container = rack.create("sh", "-c", script, log=LogOptions(4096, 100))
    container.finish()
    records = [path.read_bytes().splitlines() for path in log_files(container.directory)]
    assert len(records) > 5
    assert any(b" P " in line for lines in records for line in lines), "in pieces"
    assert all(b" F " in lines[-1] for lines in records)
    assert all(path.stat().st_size <= 2 * 4096 for path in log_files(container.directory))
    assert [r.text for r in read_log(container.directory)] == [half * 2] * 100


@pytest.mark.parametrize("seed", range(4))
def test_log_over_rotations_keeps_every_byte_of_both_streams(rack: Rack, tmp_path: Path, seed: int) -> None:
    """Lines of all lengths, none and many, and bytes that are no text."""
    chance = random.Random(seed)
    alphabet = [b"\n", b"", b"x", b"\0\xff", b"\r\n", b"y" * 63, b"z" * 4097, b"\n" * 200]
    said = [b"".join(chance.choices(alphabet, [60, 9, 90, 5, 9, 9, 1, 2], k=20_000)) for _ in range(2)]
    for name, data in zip(("out", "err"), said, strict=True):
        (tmp_path / name).write_bytes(data)
    options = ContainerOptions(mounts=(MountOption("bind", "/said", str(tmp_path)),))
    script = "cat /said/err >&2 & cat /said/out; wait"
    log = LogOptions(chance.choice([40_000, 100_000]) * 4, 100)
    container = rack.create("sh", "-c", script, options=options, log=log)
    done = container.finish()
    assert [done.stdout, done.stderr] == said
    assert len(log_files(container.directory)) > 3
    assert_whole(container.directory)


def test_log_of_one_file_that_is_full_begins_anew(rack: Rack) -> None:
    container = rack.create("sh", "-c", COUNT.format(n=500), log=LogOptions(4096, 1))
    container.finish()
    assert [path.name for path in log_files(container.directory)] == ["log"]
    assert [r.text for r in read_log(container.directory, tail=1)] == ["line 499"]


def test_follow_over_rotations_misses_nothing_and_reads_nothing_twice(box: cl.ContainerRecipe) -> None:
    recipe = box.log(max_size=20_000, max_files=100)
    with recipe.start("sh", "-c", COUNT.format(n=5000)) as container:
        texts = [record.text for record in container.logs(follow=True)]
        assert texts == [f"line {n}" for n in range(5000)]
        assert len(log_files(container._instance.directory)) > 5


def test_log_none_keeps_nothing_and_says_so(box: cl.ContainerRecipe) -> None:
    with box.log(None).start("sh", "-c", "echo lost; sleep 60") as container:
        with pytest.raises(cl.Unsupported, match=r"keeps no log.*\.log\(None\)"):
            container.logs()
        with pytest.raises(cl.Unsupported, match="keeps no log"):
            container.wait_for(log="lost")
        assert log_files(container._instance.directory) == []
    assert box.log(None).run("echo", "here").text.strip() == "here"


def test_log_of_a_container_that_runs_again_goes_on_on_a_line_of_its_own(box: cl.ContainerRecipe) -> None:
    with box.log(max_size="1MiB").start("sh", "-c", "printf unfinished; printf 'err\n' >&2") as container:
        container.wait(10.0)
        log = log_files(container._instance.directory)[0]
        with log.open("ab") as file:  # a supervisor that was killed while it wrote
            file.write(b"2026-01-02T03:04:05.000000000Z stdout F to")
        container.start()
        container.wait(10.0)
        assert [r.text for r in container.logs(stream="stdout")] == ["unfinished", "unfinished"]
        assert [r.text for r in container.logs(stream="stderr")] == ["err", "err"]


def test_log_of_many_lines_goes_on_on_a_line_of_its_own(box: cl.ContainerRecipe) -> None:
    """Of a long one the supervisor looks at the end alone."""
    code = "[ -e /second ] && { echo next; exit 0; }; touch /second; seq 1 40000; printf unfinished"
    with box.start("sh", "-c", code) as container:
        container.wait(30.0)
        assert log_files(container._instance.directory)[0].stat().st_size > 1 << 20
        container.start()
        container.wait(30.0)
        assert [r.text for r in container.logs(tail=3)] == ["40000", "unfinished", "next"]


def test_log_of_a_supervisor_that_is_killed_while_it_writes_and_rotates_is_whole_again_at_the_next_start(
    box: cl.ContainerRecipe,
) -> None:
    flood = "i=0; while :; do i=$((i+1)); echo $i; [ $((i % 97)) = 0 ] && seq 1 5000; done"
    with box.log(max_size="32KiB", max_files=4).start("sh", "-c", flood) as container:
        directory = container._instance.directory
        for moment in (0.0, 0.011, 0.037, 0.05, 0.083):
            until(lambda: len(log_files(directory)) > 1)
            time.sleep(moment)
            supervisor = connect(directory)
            assert supervisor is not None
            with supervisor:
                first = Path(f"/proc/{supervisor.pid}/stat").read_text()
                os.kill(int(first.rpartition(")")[2].split()[1]), signal.SIGKILL)
            until(lambda: container.state is cl.State.STOPPED)
            container.start()
            until(lambda: "log" in {path.name for path in log_files(directory)})
            container.kill()
            container.wait(10.0)
            assert_whole(directory)
            container.start()


def test_logs_tail_until_and_stream(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.05; echo e$n >&2; sleep 0.05; done") as c:
        c.wait(10.0)
        records = list(c.logs())
        assert [r.text for r in c.logs(tail=2)] == ["3", "e3"]
        assert [r.text for r in c.logs(tail=2, stream="stdout")] == ["2", "3"]
        assert [r.text for r in c.logs(until=records[3].time)] == ["1", "e1", "2", "e2"]
        assert [r.text for r in c.logs(follow=True, tail=1)] == ["e3"]


@pytest.mark.timeout(20)
def test_logs_follow_until_a_moment_ends_there(box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", "echo one; sleep 60") as container:
        container.wait_for(log="one")
        end = datetime.now(UTC) + timedelta(seconds=0.5)
        assert [r.text for r in container.logs(follow=True, until=end)] == ["one"]


# ---- a full disk ----


class SmallDisk:
    """A tmpfs of 1 MiB with a file that takes what is free, and containers whose directories are there."""

    def __init__(self, path: Path, lowers: tuple[Path, ...]) -> None:
        self.path = path
        self.ballast = path / "ballast"
        self.rack = Rack(path / "containers", lowers)

    def fill(self) -> None:
        with self.ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def gated(self, log: LogOptions, n: int) -> tuple[Bundled, int]:
        """A container that waits for a line before it writes, and for another before it ends."""
        gate, ours = os.pipe()
        script = (
            f"echo begun; read go; seq 1 {n}; echo through >&2; touch /dev/shm/through; read go; echo more"
        )
        container = self.rack.create("sh", "-c", script, log=log, stdio=Stdio(stdin=gate))
        os.close(gate)
        until(lambda: read_log_bytes(container.directory)[0] == b"begun\n")
        return container, ours


@pytest.fixture
def disk(tmp_path: Path, busybox_rootfs: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    try:
        small = SmallDisk(place, (busybox_rootfs,))
        with small.rack:
            yield small
    finally:
        subprocess.run(["umount", place], check=True)


def is_through(container: Bundled) -> bool:
    return Path(f"/proc/{container.supervisor.pid}/root/dev/shm/through").exists()


def waits_for_the_log(container: Bundled) -> bool:
    """Whether a child of the container's first process waits for room in its pipe."""
    pid = container.supervisor.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any("pipe_write" in Path(f"/proc/{child}/wchan").read_text() for child in children)


def test_full_disk_drop_lets_the_program_go_on_and_says_what_is_missing(disk: SmallDisk) -> None:
    container, gate = disk.gated(LogOptions(full="drop"), 100_000)
    disk.fill()
    os.write(gate, b"\n")
    until(lambda: is_through(container))
    assert_whole(container.directory)
    disk.ballast.unlink()
    os.write(gate, b"\n")
    os.close(gate)
    assert container.finish().status.exit_code == 0
    assert_whole(container.directory)
    records = [r.text for r in read_log(container.directory)]
    notes = [MISSING.fullmatch(text) for text in records if text.startswith("containerlib: ")]
    missing = sum(int(note[1]) for note in notes if note)
    kept = [text for text in records if not text.startswith("containerlib: ")]
    assert kept[0] == "begun"
    assert kept[-1] == "more"
    assert missing + len(kept) == 100_003
    numbers = [int(text) for text in kept if text.isdecimal()]
    assert numbers == sorted(numbers)
    size = sum(len(str(n)) + 1 for n in range(1, 100_001) if n not in set(numbers))
    assert sum(int(note[2]) for note in notes if note) - size in (0, len("through\n"))


def test_full_disk_says_what_is_missing_where_nothing_is_written_any_more(disk: SmallDisk) -> None:
    gate, ours = os.pipe()
    script = "echo begun; read go; seq 1 100000; touch /dev/shm/through; read go"
    container = disk.rack.create("sh", "-c", script, log=LogOptions(full="drop"), stdio=Stdio(stdin=gate))
    os.close(gate)
    until(lambda: read_log_bytes(container.directory)[0] == b"begun\n")
    disk.fill()
    os.write(ours, b"\n")
    until(lambda: is_through(container))
    disk.ballast.unlink()
    os.close(ours)
    container.finish()
    *_, last = read_log(container.directory)
    assert MISSING.fullmatch(last.text)


def test_full_disk_block_makes_the_program_wait_and_loses_nothing(disk: SmallDisk) -> None:
    container, gate = disk.gated(LogOptions(full="block"), 400_000)
    disk.fill()
    os.write(gate, b"\n\n")
    until(lambda: waits_for_the_log(container))
    assert container.supervisor.poll() is None
    assert_whole(container.directory)
    # room for all of it, the lines with their prefixes
    subprocess.run(["mount", "-o", "remount,size=32m", disk.path], check=True)
    os.close(gate)
    done = container.finish()
    assert done.status.exit_code == 0
    assert done.stdout.decode().split() == ["begun", *(str(n) for n in range(1, 400_001)), "more"]
    assert_whole(container.directory)


def test_full_disk_block_a_container_can_still_be_killed(disk: SmallDisk) -> None:
    container, gate = disk.gated(LogOptions(full="block"), 400_000)
    disk.fill()
    os.write(gate, b"\n")
    until(lambda: waits_for_the_log(container))
    container.supervisor.signal(9)
    os.close(gate)
    assert container.finish(timeout=15.0).status.signal == 9
    assert_whole(container.directory)


def test_full_disk_rotation_makes_room_for_itself(disk: SmallDisk) -> None:
    """The log alone would fill the disk; of the files that it keeps, the oldest gives way."""
    container = disk.rack.create("seq", "1", "100000", log=LogOptions(200_000, 4, "block"))
    assert container.finish().status.exit_code == 0
    texts = [r.text for r in read_log(container.directory)]
    assert texts == [str(n) for n in range(100_001 - len(texts), 100_001)]


def test_full_disk_without_a_file_more_rotates_all_the_same(disk: SmallDisk) -> None:
    """The oldest of the log's own gives its place."""
    container, gate = disk.gated(LogOptions(20_000, 3), 2000)
    for name in ("log.1", "log.2"):
        Path(container.directory, name).write_bytes(b"")
    facts = os.statvfs(disk.path)
    inodes = f"remount,nr_inodes={facts.f_files - facts.f_ffree}"
    subprocess.run(["mount", "-o", inodes, disk.path], check=True)
    os.write(gate, b"\n")
    until(lambda: is_through(container))
    subprocess.run(["mount", "-o", "remount,nr_inodes=1000", disk.path], check=True)
    os.write(gate, b"\n")
    os.close(gate)
    assert container.finish().status.exit_code == 0
    texts = [r.text for r in read_log(container.directory, stream="stdout")]
    written = ["begun", *(str(n) for n in range(1, 2001)), "more"]
    assert texts == written[-len(texts) :]
    assert len(texts) > 500


def test_full_disk_ends_the_line_that_it_has_cut(disk: SmallDisk) -> None:
    """What is written later is no part of it."""
    gate, ours = os.pipe()
    script = """
    echo begun; printf half; read go
    head -c 100000 /dev/zero | tr '\\0' x; echo; touch /dev/shm/through
    read go; echo more
    """
    container = disk.rack.create("sh", "-c", script, log=LogOptions(full="drop"), stdio=Stdio(stdin=gate))
    os.close(gate)
    until(lambda: read_log_bytes(container.directory)[0] == b"begun\nhalf")
    disk.fill()
    os.write(ours, b"\n")
    until(lambda: is_through(container))
    disk.ballast.unlink()
    os.write(ours, b"\n")
    os.close(ours)
    assert container.finish().status.exit_code == 0
    assert_whole(container.directory)
    texts = [r.text for r in read_log(container.directory, stream="stdout")]
    assert [text.rstrip("x") for text in texts] == ["begun", "half", "more"]


# ---- memory ----


@pytest.mark.skipif(has_sanitizers(), reason="the sanitizers' own memory is more")
def test_supervisor_that_was_busy_is_small_again(rack: Rack) -> None:
    container = rack.create("sh", "-c", "seq 1 1000000; sleep 60")
    until(lambda: [r.text for r in read_log(container.directory, tail=1)] == ["1000000"], 30.0)
    until(lambda: unshared_kib(shim_of(container)) <= 150)


def unshared_kib(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1])  # type: ignore[index]


# ---- a line that does not end ----


@pytest.mark.timeout(120)
def test_line_of_a_gigabyte_costs_supervisor_and_reader_bounded_memory(rack: Rack) -> None:
    gate, ours = os.pipe()
    container = rack.create(
        *("sh", "-c", f"head -c {1 << 30} /dev/zero; echo; echo end; read go"),
        log=LogOptions(16 << 20, 3),
        stdio=Stdio(stdin=gate),
    )
    os.close(gate)
    until(lambda: [r.text for r in read_log(container.directory, tail=1)] == ["end"], 100.0)
    facts = Path(f"/proc/{shim_of(container)}/status").read_text()
    os.close(ours)
    container.finish()
    assert int(re.search(r"VmHWM:\s+(\d+) kB", facts)[1]) < LARGEST  # type: ignore[index]
    *pieces, end = read_log(container.directory)
    assert (end.text, end.partial) == ("end", False)
    assert {len(piece.text) for piece in pieces[:-1]} == {1 << 20}
    assert (
        32 << 20 < sum(len(piece.text) for piece in pieces) < 97 << 20
    )  # each of twice the size: it is one line
    assert [piece.partial for piece in pieces[:-1]] == [True] * (len(pieces) - 1)
