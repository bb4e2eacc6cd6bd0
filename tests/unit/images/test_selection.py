"""Whether an image that no index names is one for the platform that was asked for."""

from __future__ import annotations

import json

import pytest

from containerlib.errors import NotFound
from containerlib.images.transfer.selection import check_alone, fits_alone
from containerlib.spec.image import ImageConfig
from containerlib.spec.platform import Wanted


def config(**platform: str) -> ImageConfig:
    return ImageConfig.from_bytes(
        json.dumps({**platform, "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    )


@pytest.mark.parametrize(
    ("wanted", "said", "fits"),
    [
        ("linux/arm64", {"os": "linux", "architecture": "arm64"}, True),
        ("linux/arm64/v8", {"os": "linux", "architecture": "arm64"}, True),
        ("linux/aarch64", {"os": "linux", "architecture": "arm64", "variant": "v8"}, True),
        ("linux/arm64", {"os": "linux", "architecture": "amd64"}, False),
        ("linux/arm64", {"os": "windows", "architecture": "arm64"}, False),
        ("linux/amd64", {"os": "linux", "architecture": "386"}, False),
        ("linux/arm/v6", {"os": "linux", "architecture": "arm", "variant": "v6"}, True),
        ("linux/arm/v6", {"os": "linux", "architecture": "arm", "variant": "v7"}, False),
        ("linux/arm/v6", {"os": "linux", "architecture": "arm"}, True),
        ("linux/amd64/v3", {"os": "linux", "architecture": "amd64"}, True),
        ("linux/amd64", {"os": "linux", "architecture": "amd64", "variant": "v3"}, False),
        ("linux/arm64", {}, True),
        ("linux/arm64", {"os": "linux"}, True),
        (None, {"os": "linux", "architecture": "s390x"}, True),
        (None, {"os": "plan9", "architecture": "mips"}, True),
    ],
)
def test_image_that_comes_alone_fits_or_not(wanted: str | None, said: dict[str, str], fits: bool) -> None:
    assert fits_alone(config(**said), Wanted.of(wanted)) is fits


def test_image_that_does_not_fit_is_not_found_and_both_platforms_are_named() -> None:
    with pytest.raises(NotFound) as caught:
        check_alone(config(os="linux", architecture="s" * 1000), Wanted.of("linux/arm64"), "app:1")
    assert str(caught.value) == f"app:1 has no image for linux/arm64; there is: linux/{'s' * 94}"
