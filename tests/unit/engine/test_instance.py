from __future__ import annotations

import pytest

from containerlib.engine.instance import Memo, Shared
from containerlib.spec.lifetime import (
    Check,
    CheckpointOption,
    CommandCheck,
    HealthOption,
    HttpCheck,
    RestartOption,
    TcpCheck,
)
from containerlib.spec.log import LogOptions


def test_memo_default_is_an_empty_object() -> None:
    assert Memo().to_json() == "{}"


def test_memo_survives_json() -> None:
    memo = Memo(
        detached=True,
        tty=True,
        stop_signal="15",
        stop_timeout=0.5,
        labels=(("a", "b"), ("c", "")),
        volumes=("www",),
        anonymous=("0123",),
        mounts=(Shared("volume", "/x", "www", True, "a/b"),),
        log=LogOptions(1 << 20, 3, "block"),
    )
    assert Memo.from_json(memo.to_json()) == memo


def test_memo_zero_grace_survives_json() -> None:
    assert Memo.from_json(Memo(stop_timeout=0.0).to_json()).stop_timeout == 0.0


def test_memo_restart_survives_json() -> None:
    memo = Memo(restart=RestartOption("on-failure", 5, pause=0.5, from_checkpoint=True), remove=True)
    assert Memo.from_json(memo.to_json()) == memo


def test_memo_checkpoints_survive_json() -> None:
    memo = Memo(checkpoints=CheckpointOption(60.0, 2, "established", file_locks=True))
    assert Memo.from_json(memo.to_json()) == memo


@pytest.mark.parametrize(
    "check", [CommandCheck(("test", "-e", "/x")), HttpCheck(80, "/y", 200, 204), TcpCheck(1), None]
)
def test_memo_health_survives_json(check: Check | None) -> None:
    memo = Memo(health=HealthOption(check, every=1.5, retries=9, on_failure="restart"))
    assert Memo.from_json(memo.to_json()) == memo
