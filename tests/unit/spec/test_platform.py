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
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9.0", "linux/arm64/v9"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf/v6", "linux/arm/v7"),
        ("linux/i386/v1", "linux/386"),
        ("macOS/arm64", "darwin/arm64"),
        ("windows(10.0.17763.1)/amd64", "windows(10.0.17763.1)/amd64"),
        ("windows(10.0.17763+win32k+a)/amd64", "windows(10.0.17763+a+win32k)/amd64"),
        ("linux(+erofs)/arm64", "linux(+erofs)/arm64"),
    ],
)
def test_platform_spelling_is_normalised(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linux",
        "linux/",
        "/amd64",
        "a/b/c/d",
        "linux/am d64",
        "linux/../x",
        "linux(/x",
        "()/x",
        "linux/amd64(1)",
    ],
)
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
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/386"], 1),
        ("linux/amd64", ["linux/amd64/v2"], None),
        ("linux/arm64/v9.1", ["linux/arm64", "linux/arm64/v8.7", "linux/arm64/v8.6", "linux/arm64/v9.2"], 2),
        ("linux/arm64/v9", ["linux/arm64", "linux/arm64/v8.6", "linux/arm64/v8.5"], 2),
        ("linux/arm64/v8.2", ["linux/arm64/v8.3", "linux/arm64"], 1),
        ("linux/arm64/v8.2", ["linux/arm/v7", "linux/arm/v8"], 1),
        ("linux(+erofs)/amd64", ["linux/amd64", "linux(+erofs)/amd64"], 0),
        ("linux/amd64", ["linux(+erofs)/amd64", "linux/386"], 1),
        ("linux(6.1)/amd64", ["linux(5.0)/amd64"], 0),
        ("windows(10.0.17763.2)/amd64", ["windows(10.0.14393.9)/amd64", "windows(10.0.17763.1)/amd64"], 1),
        ("windows(10.0.17763.2)/amd64", ["windows(10.0.17764.2)/amd64"], None),
        ("windows(10.0.26100.1)/amd64", ["windows(10.0.17763.1)/amd64", "windows(10.0.20348.1)/amd64"], 1),
        ("windows/amd64", ["windows(10.0.14393.9)/amd64"], 0),
    ],
)
def test_choose_takes_the_best_that_runs(machine: str, offered: list[str], chosen: int | None) -> None:
    assert choose(Platform.parse(machine).runs(), [Platform.parse(text) for text in offered]) == chosen


def test_host_is_a_platform_of_linux() -> None:
    assert Platform.host().os == "linux"
    assert Platform.host().runs()[0] == Platform.host()
