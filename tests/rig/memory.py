"""Where a blob goes in a test."""

from __future__ import annotations


class Memory:
    """A sink that keeps everything."""

    def __init__(self, start: bytes = b"") -> None:
        self.data = bytearray(start)

    @property
    def written(self) -> int:
        return len(self.data)

    def write(self, chunk: bytes) -> None:
        self.data += chunk

    def check(self) -> None:
        """Its user looks at what came."""

    def restart(self) -> None:
        self.data.clear()
