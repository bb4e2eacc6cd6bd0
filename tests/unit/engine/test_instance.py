from __future__ import annotations

from containerlib.engine.instance import Memo, Shared
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
