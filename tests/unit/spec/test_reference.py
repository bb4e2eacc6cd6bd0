"""References as Docker reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.errors import InvalidArgument
from containerlib.spec.digest import Digest
from containerlib.spec.reference import Reference

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("redis", "docker.io/library/redis:latest"),
        ("redis:7", "docker.io/library/redis:7"),
        ("acme/app", "docker.io/acme/app:latest"),
        ("docker.io/redis", "docker.io/library/redis:latest"),
        ("index.docker.io/library/redis", "docker.io/library/redis:latest"),
        ("docker.io/a/b/c", "docker.io/a/b/c:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("ghcr.io/acme/base:1", "ghcr.io/acme/base:1"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("Registry/app", "Registry/app:latest"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
        (f"redis@sha256:{HEX}", f"docker.io/library/redis@sha256:{HEX}"),
        (f"redis:7@sha256:{HEX}", f"docker.io/library/redis:7@sha256:{HEX}"),
        (f"host:80/app@sha256:{HEX}", f"host:80/app@sha256:{HEX}"),
    ],
)
def test_reference_valid_is_normalised(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":latest",
        "redis:",
        "redis@",
        "Redis",
        "-redis",
        "redis-",
        "a..b",
        "a___b",
        "a//b",
        "/a",
        "a/",
        "a b",
        "redis:-1",
        "redis:" + "t" * 129,
        "redis:a:b",
        "redis\n",
        "redis:7\n",
        "https://docker.io/redis",
        "host:port/app",
        "-host.io/app",
        "host_name.io/app",
        "redis@sha256:abc",
        f"redis@md5:{HEX}",
        f"redis@sha256:{HEX.upper()}",
        f"redis@sha256:{HEX}@sha256:{HEX}",
        HEX,
        "a/" * 130 + "b",
        "réd",
        "../etc",
        "a/../b",
    ],
)
def test_reference_invalid_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Reference.parse(text)
    assert caught.value.field == "reference"


@given(st.text(max_size=80))
def test_reference_any_text_is_refused_or_stays_the_same_when_read_again(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidArgument:
        return
    assert Reference.parse(str(reference)) == reference


def test_reference_parts_are_separate() -> None:
    reference = Reference.parse(f"localhost:5000/team/app:1.0@sha256:{HEX}")
    assert reference == Reference("localhost:5000", "team/app", "1.0", Digest("sha256", HEX))
    assert reference.target == f"sha256:{HEX}"
