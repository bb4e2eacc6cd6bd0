"""Processes that only who has the key can read: a checkpoint's top layer as one encrypted file.

    write_sealed(layer_tar(tree.walk()), key, path)
    for piece in read_sealed(path, key): ...

    MAGIC, 7 random bytes, then pieces of 1 MiB, each AES-256-GCM's with its tag
    a piece's nonce: the random bytes, its number in 4, and 1 for the last or 0

So no piece can be exchanged, left out, or be the last before its time. Takes the extra `crypto` (cryptography).

Spec: NIST SP 800-38D; the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizar, 2015
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from containerlib._sys.writing import write_whole
from containerlib.errors import InvalidArgument, Unsupported

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEY_BYTES", "read_sealed", "write_sealed"]

KEY_BYTES = 32
_MAGIC = b"containerlib-sealed-1\n"
_RANDOM, _PIECE, _TAG = 7, 1 << 20, 16
_MOST = 1 << 32


def write_sealed(chunks: Iterable[bytes], key: bytes, file: int) -> None:
    """Writes `chunks` encrypted to the open file. Raises: Unsupported without the extra; OSError."""
    cipher, random = _cipher(key), os.urandom(_RANDOM)
    write_whole(file, _MAGIC + random)
    held, number = bytearray(), 0
    for chunk in chunks:
        held += chunk
        while len(held) > _PIECE:  # never the last
            write_whole(file, cipher.encrypt(_nonce(random, number), bytes(held[:_PIECE]), None))
            del held[:_PIECE]
            number += 1
    write_whole(file, cipher.encrypt(_nonce(random, number, is_last=True), bytes(held), None))


def read_sealed(path: str, key: bytes) -> Iterator[bytes]:
    """What was written, in pieces, each of them as it was.

    Raises: InvalidArgument(field="key") for another key, and for a file that is not whole; Unsupported; OSError.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

    cipher = _cipher(key)
    with open(path, "rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise InvalidArgument("the checkpoint is encrypted in a way that is not known here", field="key")
        random, number = file.read(_RANDOM), 0
        piece = file.read(_PIECE + _TAG)
        while True:
            following = file.read(_PIECE + _TAG)
            try:
                yield cipher.decrypt(_nonce(random, number, is_last=not following), piece, None)
            except (InvalidTag, ValueError) as error:
                raise InvalidArgument(
                    "the checkpoint was encrypted with another key, or is damaged", field="key"
                ) from error
            if not following:
                return
            piece, number = following, number + 1


def _nonce(random: bytes, number: int, *, is_last: bool = False) -> bytes:
    if number >= _MOST:
        raise Unsupported("a checkpoint of more than 4 PiB cannot be encrypted")
    return random + number.to_bytes(4, "big") + bytes([is_last])


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise Unsupported(
            "encrypted checkpoints take the package cryptography: pip install containerlib[crypto]"
        ) from error
    return AESGCM(key)
