"""Platforms: spellings, and which image a machine prefers."""

from __future__ import annotations

import pytest

from containerlib.errors import InvalidArgument
from containerlib.spec.platform import Platform, choose


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
    ],
)
def test_platform_spelling_is_normalised(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/am d64", "linux/../x"])
def test_platform_malformed_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("machine", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/amd64", ["linux/386", "linux/amd64"], 1),
        ("linux/amd64", ["windows/amd64", "linux/386"], 1),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"], 2),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], 1),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/amd64", ["linux/amd64", "linux/amd64"], 0),
        ("linux/s390x", ["linux/amd64"], None),
    ],
)
def test_choose_takes_the_best_that_runs(machine: str, offered: list[str], chosen: int | None) -> None:
    assert choose(Platform.parse(machine).runs(), [Platform.parse(text) for text in offered]) == chosen


def test_host_is_a_platform_of_linux() -> None:
    assert Platform.host().os == "linux"
    assert Platform.host().runs()[0] == Platform.host()
