"""What the words about devices take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from containerlib.engine import words_devices as words
from containerlib.errors import InvalidArgument
from containerlib.spec.options import DeviceOption


@pytest.mark.parametrize(
    ("field", "use"),
    [
        ("device", lambda: words.device("fuse", None, "rwm")),
        ("at", lambda: words.device("/dev/fuse", "fuse", "rwm")),
        ("access", lambda: words.access("")),
        ("access", lambda: words.access("rx")),
        ("access", lambda: words.access("rr")),
        ("device_cgroup_rule", lambda: words.rule("c 10 rwm")),
        ("device_cgroup_rule", lambda: words.rule("d 1:2 r")),
        ("gpus", lambda: words.gpus(0)),
        ("gpus", lambda: words.gpus("two")),
    ],
)
def test_word_that_cannot_be_is_refused_by_name(field: str, use: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        use()
    assert caught.value.field == field


def test_device_that_is_neither_a_path_nor_a_name_says_what_both_look_like() -> None:
    with pytest.raises(InvalidArgument, match=r"/dev/fuse.*nvidia\.com/gpu=0"):
        words.device("fuse", None, "rwm")


def test_words_in_normal_form() -> None:
    assert words.device("/dev//fuse", None, "r") == DeviceOption("/dev/fuse", "/dev/fuse", "r")
    assert words.rule("c 10:* rw") == ("c", 10, None, "rw")
    assert (words.gpus("all"), words.gpus(2)) == (-1, 2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nvidia.com/gpu=all", True),
        ("vendor.com/net=eth0:1", True),
        ("/dev/a=b", False),
        ("a/b=", False),
        ("a=b", False),
    ],
)
def test_name_of_cdi_is_told_from_a_path(name: str, expected: bool) -> None:
    assert words.is_qualified(name) is expected
