"""Compiled seccomp filters, kept: compiling Docker's profile takes 40 ms, looking it up a microsecond.

    program = compiled(spec["linux"]["seccomp"], "/var/lib/containerlib/seccomp")   # struct sock_filter[]

A filter is found in the process's FilterCache, else on disk, else it is compiled. Its size
matters less for the calls that it judges (230 ns either way: the kernel keeps a bitmap) than for the kernel's own
work at installation, when it translates the filter and runs it for every system call there is: 0.08 ms in
place of 0.22 ms for libseccomp's binary tree and 0.76 ms for its list, for each start.

Spec: runtime-spec config-linux.md#seccomp; seccomp(2)
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable, Mapping
from zlib import crc32

from containerlib.spec.seccomp import SeccompSection, canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FilterCache", "compiled"]

_FORMAT = 5
"""Part of what a file is for: to be raised with every change of what is compiled from the same section."""
_NUMBER_BYTES = 4
_IN_MEMORY = 64


def compiled(seccomp: Mapping[str, Any], cache: str | os.PathLike[str] | None = None) -> bytes:
    """The filter of a `linux.seccomp` section; `cache` is a directory that only its owner may write.

    Raises: InvalidArgument(field="seccomp").
    """
    return _process_cache.get(seccomp, cache)


class FilterCache:
    """The filters that one process knows, by the text of their section; `compile_` makes those it does not."""

    def __init__(self, compile_: Callable[[Mapping[str, Any]], bytes] | None = None) -> None:
        self._compile = compile_ or _compile
        self._known: dict[bytes, bytes] = {}

    def get(self, seccomp: Mapping[str, Any], directory: str | os.PathLike[str] | None = None) -> bytes:
        """The filter from memory, else from `directory`, else compiled, and then kept in both.

        Raises: as `compiled`.
        """
        key = _quick_key(seccomp)
        program = self._known.get(key)
        if program is None:
            text = canonical(seccomp)
            program = self._known.get(text) or self._find(seccomp, text, directory)
            if len(self._known) >= _IN_MEMORY:
                self._known.clear()
            self._known[key] = self._known[text] = program
        return program

    def _find(
        self, seccomp: Mapping[str, Any], text: bytes, directory: str | os.PathLike[str] | None
    ) -> bytes:
        if directory is None:
            return self._compile(seccomp)
        purpose = f"{_FORMAT} {os.uname().machine}\n".encode() + text
        path = f"{os.fspath(directory)}/{crc32(purpose):08x}.bpf"
        program = _load(path, purpose)
        if program is None:
            program = self._compile(seccomp)
            _save(path, purpose, program)
        return program


def _quick_key(seccomp: Mapping[str, Any]) -> bytes:
    """Equal only for equal sections, and made in half of a text's time: each verb reads its config anew."""
    return seccomp.encoded if isinstance(seccomp, SeccompSection) else marshal.dumps(dict(seccomp), 2)


# ---- on disk ----
#
# A checksum of the rest, since nothing was synced; the size of the purpose; the purpose, whole, since its checksum, by
# which the file is found, is none that only one text has; the program. In place of SHA-256, whose library takes longer
# to load than all else here takes.


def _load(path: str, purpose: bytes) -> bytes | None:
    """The program where the file is whole, and for this purpose."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.readall()
    except OSError:
        return None
    checked = data[_NUMBER_BYTES:]
    start = _NUMBER_BYTES + len(purpose)
    if data[:_NUMBER_BYTES] != _number(crc32(checked)) or checked[:start] != _number(len(purpose)) + purpose:
        return None
    return checked[start:] or None


def _save(path: str, purpose: bytes, program: bytes) -> None:
    """Best effort: a cache that cannot be written costs time, nothing else."""
    new = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    checked = _number(len(purpose)) + purpose + program
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)  # noqa: PTH103, PTH120
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(_number(crc32(checked)) + checked)
        os.replace(new, path)  # noqa: PTH105
    except OSError:
        try:
            os.unlink(new)  # noqa: PTH108
        except OSError:
            return


def _number(value: int) -> bytes:
    return value.to_bytes(_NUMBER_BYTES, "little")


def _compile(seccomp: Mapping[str, Any]) -> bytes:
    # milliseconds of a command's start, and not needed where the disk has the answer
    from containerlib.runtime.seccomp.compiler import compile_section  # noqa: PLC0415

    return compile_section(seccomp)


_process_cache = FilterCache()
