"""The extension as type checkers see it: what cffi makes of native.cdef.h, which only `_sys` looks into."""

from typing import Any

ffi: Any
lib: Any
