"""config.json on disk.

On the path of every start, so the seccomp section, nine tenths of the file, is not encoded again: a
SeccompSection brings its own text. Nothing is synced: a configuration lives as long as its container, and
no longer than the machine is up. It is written aside and renamed: other processes read the configuration of a
container that is being made, too, and find all of it or none.
"""

from __future__ import annotations

import json
import os

from containerlib._sys.writing import write_whole
from containerlib.errors import StageError
from containerlib.spec.runtime import Spec
from containerlib.spec.seccomp import SeccompSection

__all__ = ["encode", "write"]

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def encode(spec: Spec) -> bytes:
    """The JSON text of `spec`."""
    linux = spec.get("linux")
    seccomp = linux.get("seccomp") if linux else None
    if not linux or not isinstance(seccomp, SeccompSection):
        return _encode(spec).encode()
    rest = {key: value for key, value in linux.items() if key != "seccomp"}
    # `linux` goes last, and in it the section: the two closing braces make room for it
    text = _encode({**{key: value for key, value in spec.items() if key != "linux"}, "linux": rest}).encode()
    return b"".join((text[:-2], b',"seccomp":' if rest else b'"seccomp":', seccomp.encoded, b"}}"))


def write(directory: str, spec: Spec) -> None:
    """Writes `directory`/config.json, in place of one that is there.

    Raises: StageError(stage="bundle").
    """
    path = f"{directory}/config.json"
    data = encode(spec)
    try:
        _write(f"{path}.new", data)
        os.rename(f"{path}.new", path)  # noqa: PTH104 - hot path
    except OSError as error:
        raise StageError("bundle", error.errno or 0, path) from error


def _write(path: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        write_whole(descriptor, data)
    finally:
        os.close(descriptor)
