"""Digests: nothing that is not one becomes a path."""

from __future__ import annotations

import hashlib

import pytest

from containerlib.errors import InvalidArgument
from containerlib.spec.digest import Digest, Hasher


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "g" * 64,
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "a" * 64 + "\n",
        "sha512:" + "a" * 64,
        "md5:" + "a" * 32,
        "sha256:../../../../etc/passwd",
        "../sha256:" + "a" * 64,
    ],
)
def test_digest_malformed_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Digest.parse(text)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_hasher_bytes_in_pieces_give_the_digest(algorithm: str) -> None:
    hasher = Hasher(algorithm)
    for piece in (b"a" * 5000, b"b"):
        hasher.update(piece)
    digest = hasher.digest()
    assert str(digest) == f"{algorithm}:{hashlib.new(algorithm, b'a' * 5000 + b'b').hexdigest()}"
    assert Digest.parse(str(digest)) == digest
    assert digest.matches(b"a" * 5000 + b"b")
    assert not digest.matches(b"a")
