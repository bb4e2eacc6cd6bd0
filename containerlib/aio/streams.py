"""The standard streams of a program, for an event loop."""

from __future__ import annotations

import contextlib
import os
from typing import BinaryIO

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    notify_closing,
    wait_readable,
    wait_writable,
)
from anyio.abc import ByteReceiveStream, ByteSendStream

from containerlib.engine.streams import read_or_end

__all__ = ["Input", "Output"]

_CHUNK = 1 << 16


class Output(ByteReceiveStream):
    """What a program writes: `receive()`, or `async for`. anyio's wrappers for text and lines go over it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        os.set_blocking(file.fileno(), False)

    async def receive(self, max_bytes: int = _CHUNK) -> bytes:
        """What has come, at most `max_bytes`.

        Raises: anyio.EndOfStream where nothing more will; anyio.ClosedResourceError.
        """
        while True:
            descriptor = _descriptor(self._file)
            await wait_readable(descriptor)
            with contextlib.suppress(BlockingIOError):
                if data := read_or_end(descriptor, max_bytes):
                    return data
                raise EndOfStream

    async def aclose(self) -> None:
        """Closes it: the program's next write fails."""
        _close(self._file)


class Input(ByteSendStream):
    """What a program reads: `send(bytes)`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        os.set_blocking(file.fileno(), False)

    async def send(self, item: bytes) -> None:
        """Writes all of it, as fast as the program reads.

        Raises: anyio.BrokenResourceError where it reads no more; anyio.ClosedResourceError.
        """
        left = memoryview(item)
        while left:
            descriptor = _descriptor(self._file)
            await wait_writable(descriptor)
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise BrokenResourceError from error

    async def aclose(self) -> None:
        """The end of the program's input."""
        _close(self._file)


def _descriptor(file: BinaryIO) -> int:
    if file.closed:
        raise ClosedResourceError
    return file.fileno()


def _close(file: BinaryIO) -> None:
    if not file.closed:
        notify_closing(file.fileno())
        with contextlib.suppress(BrokenPipeError):
            file.close()
