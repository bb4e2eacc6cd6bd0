"""The small files between Python and a shim: their bytes are those of native.cdef.h."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from containerlib._sys.native import ffi, lib
from containerlib._sys.wire import Message
from containerlib.errors import StageError
from containerlib.runtime.lifetime import (
    End,
    Ends,
    Lifetime,
    policy_bytes,
    read_ends,
    read_health,
    restart_count,
    write_lifetime,
    write_policy,
)
from containerlib.spec.lifetime import (
    CommandCheck,
    HealthOption,
    HttpCheck,
    RestartOption,
    RestartPolicy,
    TcpCheck,
)


def policy_of(lifetime: Lifetime) -> Any:
    data = policy_bytes(lifetime).ljust(ffi.sizeof("struct clib_policy"), b"\0")
    assert len(data) == ffi.sizeof("struct clib_policy")
    return ffi.from_buffer("struct clib_policy *", data)


def test_policy_is_as_long_as_what_it_says_takes() -> None:
    """A supervisor of a release that took no checkpoints knows the shorter one alone."""
    assert len(policy_bytes(Lifetime())) == lib.CLIB_POLICY_LEAST
    policy = policy_of(Lifetime(checkpoint_every=1.5))
    assert (policy.checkpoint_ms, policy.resume) == (1500, 0)
    policy = policy_of(Lifetime(RestartOption("always", from_checkpoint=True)))
    assert (policy.checkpoint_ms, policy.resume) == (0, 1)


def test_policy_has_each_value_in_its_place() -> None:
    health = HealthOption(HttpCheck(8080, "/", 200, 204), 1.5, 2.0, 7, 60.0, 0.25, "restart")
    policy = policy_of(Lifetime(RestartOption("on-failure", 4, 0.2, 30.0, 5.0), health, True, 2, 1.25))
    assert (policy.magic, policy.version) == (lib.CLIB_POLICY_MAGIC, lib.CLIB_LIFE_VERSION)
    assert (policy.restart, policy.retries) == (lib.CLIB_RESTART_ON_FAILURE, 4)
    assert (policy.pause_ms, policy.longest_ms, policy.calm_ms) == (200, 30000, 5000)
    assert (policy.remove, policy.stop_signal, policy.grace_ms) == (1, 2, 1250)
    assert (policy.check, policy.port, policy.lowest, policy.highest) == (lib.CLIB_CHECK_HTTP, 8080, 200, 204)
    assert (policy.unhealthy, policy.failures) == (lib.CLIB_UNHEALTHY_RESTART, 7)
    assert (policy.every_ms, policy.timeout_ms) == (1500, 2000)
    assert (policy.start_period_ms, policy.start_every_ms) == (60000, 250)


def test_policy_defaults_are_dockers() -> None:
    policy = policy_of(Lifetime(health=HealthOption(TcpCheck(1))))
    assert (policy.pause_ms, policy.longest_ms, policy.calm_ms) == (100, 60000, 10000)
    assert (policy.every_ms, policy.timeout_ms, policy.failures) == (30000, 30000, 3)
    assert (policy.start_period_ms, policy.start_every_ms) == (0, 5000)
    assert policy.restart == lib.CLIB_RESTART_NO


def test_policy_time_that_is_not_0_is_none_that_is() -> None:
    assert policy_of(Lifetime(RestartOption("always", pause=0.0001))).pause_ms == 1


@pytest.mark.parametrize("name", ["no", "on-failure", "always", "unless-stopped"])
def test_policy_of_each_name_is_another(name: RestartPolicy) -> None:
    expected = getattr(lib, f"CLIB_RESTART_{name.upper().replace('-', '_')}")
    assert policy_of(Lifetime(RestartOption(name))).restart == expected


def test_lifetime_is_plain_only_where_a_shim_has_nothing_to_do() -> None:
    assert Lifetime().is_plain
    assert not Lifetime(RestartOption("always")).is_plain
    assert not Lifetime(health=HealthOption(TcpCheck(1))).is_plain
    assert not Lifetime(remove=True).is_plain


def test_write_lifetime_request_is_one_of_http(tmp_path: Path) -> None:
    write_lifetime(str(tmp_path), Lifetime(health=HealthOption(HttpCheck(8080, "/ready"))))
    lines = (tmp_path / "check").read_bytes().split(b"\r\n")
    assert lines[0] == b"GET /ready HTTP/1.1"
    assert b"Host: localhost:8080" in lines
    assert lines[-2:] == [b"", b""]


def test_write_lifetime_plan_is_kept_for_the_shim_alone(tmp_path: Path) -> None:
    write_lifetime(str(tmp_path), Lifetime(health=HealthOption(CommandCheck(("true",)))), b"plan")
    assert (tmp_path / "check").read_bytes() == b"plan"
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "check": 0o600,
        "policy": 0o600,
    }


def test_write_policy_replaces_the_file_as_a_whole(tmp_path: Path) -> None:
    write_policy(str(tmp_path), Lifetime())
    before = os.open(tmp_path / "policy", os.O_RDONLY)
    write_policy(str(tmp_path), Lifetime(remove=True))
    assert os.read(before, 100) == policy_bytes(Lifetime()), "who has it open reads what it was"
    os.close(before)
    assert (tmp_path / "policy").read_bytes() == policy_bytes(Lifetime(remove=True))


def test_write_policy_without_its_directory_is_a_stage_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="policy"):
        write_policy(str(tmp_path / "gone"), Lifetime())


def write_health(directory: Path, *results: tuple[int, int, int, bytes], **changes: int) -> None:
    health = ffi.new("struct clib_health *")
    health.magic, health.version = lib.CLIB_HEALTH_MAGIC, lib.CLIB_LIFE_VERSION
    health.status, health.streak, health.count = lib.CLIB_HEALTH_UNHEALTHY, 4, len(results)
    for name, value in changes.items():
        setattr(health, name, value)
    for place, (code, stage, err, output) in zip(health.result, results, strict=False):
        place.start, place.end = 1_500_000_000_000_000_000, 1_500_000_001_500_000_000
        place.exit_code, place.stage, place.err, place.size = code, stage, err, len(output)
        ffi.memmove(place.output, output, len(output))
    (directory / "health").write_bytes(ffi.buffer(health))


def test_read_health_is_what_the_shim_has_written(tmp_path: Path) -> None:
    write_health(tmp_path, (0, 0, 0, b"ok\n"), (1, 0, 0, b"\xff" * 4096))
    health = read_health(str(tmp_path))
    assert health is not None
    assert (health.status, health.failing_streak) == ("unhealthy", 4)
    assert health.log[0].output == "ok\n"
    assert health.log[1].output == "\ufffd" * 4096
    assert health.log[0].start == datetime.fromtimestamp(1_500_000_000, UTC)
    assert (health.log[0].end - health.log[0].start).total_seconds() == 1.5


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ((-1, 0, 0, b""), "the check took longer than its time-out"),
        ((1, 0, 111, b""), "nobody answers: Connection refused"),
        ((127, 8, 2, b""), "the check could not be made: No such file or directory"),
        ((1, 0, 0, b"own"), "own"),
    ],
)
def test_read_health_says_why_there_is_no_answer(
    tmp_path: Path, result: tuple[int, int, int, bytes], words: str
) -> None:
    write_health(tmp_path, result)
    health = read_health(str(tmp_path))
    assert health is not None
    assert health.log[0].output == words


def test_read_health_that_is_not_there_or_another_versions_is_none(tmp_path: Path) -> None:
    assert read_health(str(tmp_path)) is None
    write_health(tmp_path, version=9)
    assert read_health(str(tmp_path)) is None


def test_restart_count_without_a_record_is_0(tmp_path: Path) -> None:
    assert restart_count(str(tmp_path)) == 0
    (tmp_path / "restarts").write_bytes(Message(lib.CLIB_MESSAGE_RESTARTS, (7, 1, 0, 0)).pack())
    assert restart_count(str(tmp_path)) == 7


def write_ends(directory: Path, *ends: tuple[int, ...], version: int = lib.CLIB_ENDS_VERSION) -> None:
    record = ffi.new("struct clib_ends *")
    record.magic, record.version, record.total = lib.CLIB_ENDS_MAGIC, version, 7
    record.count, record.first = len(ends), 11
    for place, end in zip(record.end, ends, strict=False):
        place.began, place.ended, place.exit_code, place.signal, place.oom_kills = end
    (directory / "ends").write_bytes(bytes(ffi.buffer(record)))


def test_read_ends_is_what_the_shim_has_written(tmp_path: Path) -> None:
    write_ends(tmp_path, (1, 2, 3, 0, 0), (0, 5, 137, 9, 1))
    assert read_ends(str(tmp_path)) == Ends(7, 11, (End(1, 2, 3, 0, 0), End(0, 5, 137, 9, 1)))


def test_read_ends_that_are_not_there_or_another_versions_are_none(tmp_path: Path) -> None:
    assert read_ends(str(tmp_path)) is None
    write_ends(tmp_path, version=9)
    assert read_ends(str(tmp_path)) is None
