"""The `stream` option of `run` and `exec`: the command's output while the command runs.

engine.container("python:3.12").run("pip", "install", "torch", stream=True)          # on sys.stdout and sys.stderr
container.exec("make", stream=lambda name, data: log.write(data))                     # to a function
"""

from __future__ import annotations

import codecs
import inspect
import sys
from collections.abc import Callable
from typing import Literal, TextIO, TypeAlias

from containerlib.errors import InvalidArgument
from containerlib.units import check_kind

__all__ = ["OnOutput", "listener"]

OnOutput: TypeAlias = Callable[[Literal["stdout", "stderr"], bytes], object]
"""A function that gets the name of the stream and the bytes that came on it."""


def listener(stream: bool | OnOutput) -> OnOutput | None:
    """The function that gets the output as it comes; None where `stream` is False.

    Raises: InvalidArgument.
    """
    if isinstance(stream, bool):
        return _StandardStreams() if stream else None
    if inspect.iscoroutinefunction(stream):
        raise InvalidArgument("an async function is not awaited: give a plain one", field="stream")
    given: object = stream
    if not callable(given):
        check_kind(given, bool, want="True, False or a function of (name, data)", field="stream")
    return stream


class _StandardStreams:
    """Writes to the sys.stdout and sys.stderr of the moment of the call: a notebook's cell, pytest's capture."""

    def __init__(self) -> None:
        self._files: dict[str, TextIO | None] = {"stdout": sys.stdout, "stderr": sys.stderr}
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder(errors="replace") for name in self._files}

    def __call__(self, name: Literal["stdout", "stderr"], data: bytes) -> None:
        if (file := self._files[name]) is None:  # a program without a console
            return
        if (binary := getattr(file, "buffer", None)) is None:  # a notebook's, io.StringIO
            file.write(self._decoders[name].decode(data))
        else:
            file.flush()
            binary.write(data)
        file.flush()
