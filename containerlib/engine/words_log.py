"""Checks and normal forms of what the words about logs take, as words.py has them for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from containerlib.errors import InvalidArgument
from containerlib.spec.log import LogOptions
from containerlib.units import Size, check_kind, parse_size

if TYPE_CHECKING:
    from containerlib.spec.log import LogFull

__all__ = ["Stream", "line_count", "log_options", "log_stream"]

Stream = Literal["stdout", "stderr"]
_LOG_FILES = 5
_MOST_LOG_FILES = 100
"""A reader has all of them open."""
_SMALLEST_LOG = 4096


def log_stream(value: str | None) -> Stream | None:
    """One of the two streams; None: both."""
    if value is not None and value not in ("stdout", "stderr"):
        raise InvalidArgument(f'{value!r} is not a stream: write "stdout" or "stderr"', field="stream")
    return cast("Stream | None", value)


def line_count(value: int | None, *, field: str) -> int | None:
    """How many lines; None: all."""
    check_kind(value, int, type(None), want="a number of lines, an int", field=field)
    if value is not None and value < 0:
        raise InvalidArgument(f"{value} is not a number of lines: 0 or more, or None for all", field=field)
    return value


def log_options(
    old: LogOptions,
    *,
    keep: Literal["file", "none"] | None,
    max_size: Size | None,
    max_files: int | None,
    full: LogFull | None,
) -> LogOptions:
    """`old` with every value that is not None."""
    if keep is None or keep == "none":
        if (max_size, max_files, full) != (None, None, None):
            raise InvalidArgument("what is not kept has no size and no files", field="log")
        return LogOptions(max_files=0)
    if keep != "file":
        raise InvalidArgument(f'{keep!r} is not a way to keep a log: "file", or None', field="log")
    if full not in (None, "drop", "block"):
        raise InvalidArgument(f'{full!r} is none of "drop", "block"', field="full")
    size = old.max_size_bytes if max_size is None else _log_size(max_size)
    if max_files is not None:
        check_kind(max_files, int, want="a number of files, an int", field="max_files")
        if not size or not 1 <= max_files <= _MOST_LOG_FILES:
            raise InvalidArgument(
                f"{max_files!r} files: from 1 to {_MOST_LOG_FILES}, and each with a max_size",
                field="max_files",
            )
    files = max_files or (old.max_files if old.max_size_bytes else _LOG_FILES if size else 1)
    return LogOptions(size, files, full or old.full)


def _log_size(value: Size) -> int:
    size_bytes = parse_size(value, field="max_size")
    if size_bytes < _SMALLEST_LOG:
        raise InvalidArgument(
            f"a file of a log has at least {_SMALLEST_LOG} bytes, and not {size_bytes}", field="max_size"
        )
    return size_bytes
