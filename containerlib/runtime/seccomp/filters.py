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

from containerlib.spec.seccomp import SeccompSection, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FilterCache", "compiled"]

_FORMAT = 3
"""Part of the key on disk: to be raised with every change of what is compiled from the same section."""
_DIGEST_BYTES = 32
_IN_MEMORY = 64


def compiled(seccomp: Mapping[str, Any], cache: str | os.PathLike[str] | None = None) -> bytes:
    """The filter of a `linux.seccomp` section; `cache` is a directory that only its owner may write.

    Raises: InvalidArgument(field="seccomp").
    """
    return _process_cache.get(seccomp, cache)


class FilterCache:
    """The filters that one process knows, by the digest of their section; `compile_` makes those it does not."""

    def __init__(self, compile_: Callable[[Mapping[str, Any]], bytes] | None = None) -> None:
        self._compile = compile_ or _compile
        self._known: dict[bytes | str, bytes] = {}

    def get(self, seccomp: Mapping[str, Any], directory: str | os.PathLike[str] | None = None) -> bytes:
        """The filter from memory, else from `directory`, else compiled, and then kept in both.

        Raises: as `compiled`.
        """
        key = _quick_key(seccomp)
        program = self._known.get(key)
        if program is None:
            digest = digest_of(seccomp)
            program = self._known.get(digest) or self._find(seccomp, digest, directory)
            if len(self._known) >= _IN_MEMORY:
                self._known.clear()
            self._known[key] = self._known[digest] = program
        return program

    def _find(
        self, seccomp: Mapping[str, Any], digest: str, directory: str | os.PathLike[str] | None
    ) -> bytes:
        path = f"{os.fspath(directory)}/{_key(digest)}.bpf" if directory is not None else None
        program = _load(path) if path else None
        if program is None:
            program = self._compile(seccomp)
            if path:
                _save(path, program)
        return program


def _quick_key(seccomp: Mapping[str, Any]) -> bytes | str:
    """Equal only for equal sections, and made in a fiftieth of a digest's time: each verb reads its config anew."""
    return seccomp.digest if isinstance(seccomp, SeccompSection) else marshal.dumps(dict(seccomp), 2)


# ---- on disk ----


def _sha256(data: bytes) -> bytes:
    import hashlib  # noqa: PLC0415 - 2 ms of a command's start

    return hashlib.sha256(data).digest()


def _key(digest: str) -> str:
    return _sha256(f"{_FORMAT} {os.uname().machine} {digest}".encode()).hex()


def _load(path: str) -> bytes | None:
    """The program where the file is whole: its digest comes first, since nothing was synced."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    digest, program = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    return program if program and _sha256(program) == digest else None


def _save(path: str, program: bytes) -> None:
    """Best effort: a cache that cannot be written costs time, nothing else."""
    new = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)  # noqa: PTH103, PTH120
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(_sha256(program) + program)
        os.replace(new, path)  # noqa: PTH105
    except OSError:
        try:
            os.unlink(new)  # noqa: PTH108
        except OSError:
            return


def _compile(seccomp: Mapping[str, Any]) -> bytes:
    # milliseconds of a command's start, and not needed where the disk has the answer
    from containerlib.runtime.seccomp.compiler import compile_section  # noqa: PLC0415

    return compile_section(seccomp)


_process_cache = FilterCache()
