"""The beginning of the command's process, before anything else is loaded.

The interpreter looks for a module as if it could be anywhere and anything: it lists directories, asks each of its
finders and tries each suffix. The modules of this package are where their names say: two files are asked for, which
takes half of the time, and that is a tenth of what `run` takes. What is not there as expected (a source without its
compiled form, or newer than that) is left to the interpreter.
"""

from __future__ import annotations

import gc
import os
import sys

# importlib.machinery has the same, and takes a millisecond to load
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType
    from typing import NoReturn

__all__ = ["Finder", "start"]

_PACKAGE = f"{__name__.partition('.')[0]}."
_SUFFIX = f"{sys.implementation.cache_tag}.pyc"
_BY_TIME = bytes(4)
"""The flags of a compiled form that has its source's time and size, and no hash of it."""
_HEADER, _LARGEST = 16, 1 << 16


def start() -> NoReturn:
    """Runs the command, without the search for garbage, of which there is little."""
    gc.disable()
    if not sys.flags.optimize and sys.pycache_prefix is None:
        sys.meta_path.insert(0, Finder)
    from containerlib.oci_cli.main import command

    command()


class Finder:
    """Finds the modules of this package. Spec: PEP 451, PEP 552"""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004
        """None: it is for the interpreter to find."""
        if path is None or not name.startswith(_PACKAGE):
            return None
        directory, tail = path[0], name.rpartition(".")[2]
        return _spec(name, directory, tail) or _spec(name, f"{directory}/{tail}", "__init__")


def _spec(name: str, directory: str, stem: str) -> ModuleSpec | None:
    source, cached = f"{directory}/{stem}.py", f"{directory}/__pycache__/{stem}.{_SUFFIX}"
    loader = _Loader(name, source)
    loader.compiled = _read(source, cached)
    if not loader.compiled:
        return None
    spec = ModuleSpec(name, loader, origin=source, is_package=stem == "__init__")
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations.append(directory)
    spec.has_location, spec.cached = True, cached
    return spec


def _read(source: str, cached: str) -> bytes:
    """The compiled form of `source`, as it is now; empty where there is none."""
    try:
        fd = os.open(cached, os.O_RDONLY | os.O_CLOEXEC)
        try:
            compiled, status = os.read(fd, _LARGEST), os.stat(source)
        finally:
            os.close(fd)
    except OSError:
        return b""
    times = (int(status.st_mtime), status.st_size)
    expected = b"".join(
        (MAGIC_NUMBER, _BY_TIME, *((time & 0xFFFFFFFF).to_bytes(4, "little") for time in times))
    )
    return compiled if compiled[:_HEADER] == expected and len(compiled) < _LARGEST else b""


class _Loader(SourceFileLoader):
    """The interpreter's own, but for the compiled form, which has been read already."""

    compiled = b""

    def get_code(self, fullname: str) -> CodeType | None:
        compiled, self.compiled = self.compiled, b""
        if not compiled:
            return super().get_code(fullname)
        code: CodeType = loads(memoryview(compiled)[_HEADER:])  # noqa: S302 - what the interpreter would run
        return code
