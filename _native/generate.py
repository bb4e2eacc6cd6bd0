"""Writes the C source of the `containerlib._native` extension from the contract headers, with cffi in API mode."""

import sys
from pathlib import Path

from cffi import FFI


def main(*arguments: str) -> None:
    *headers, output = map(Path, arguments)
    ffi = FFI()
    for header in headers:
        ffi.cdef(header.read_text())
    ffi.set_source("containerlib._native", '#include "ext.h"\n', py_limited_api=True)
    ffi.emit_c_code(str(output))


main(*sys.argv[1:])
