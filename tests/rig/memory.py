"""Where a blob goes in a test."""

from __future__ import annotations


class Memory:
    """A sink that keeps everything."""

    def __init__(self, start: bytes = b"") -> None:
        self.data = bytearray(start)
        self._ahead: dict[int, bytes] = {}

    @property
    def written(self) -> int:
        return len(self.data)

    def write(self, chunk: bytes) -> None:
        self.data += chunk

    def write_ahead(self, position: int, chunk: bytes) -> None:
        self._ahead[position] = chunk

    def take(self, end: int) -> None:
        while len(self.data) < end:
            self.data += self._ahead.pop(len(self.data))

    def check(self) -> None:
        """Its user looks at what came."""

    def restart(self) -> None:
        self.data.clear()
        self._ahead.clear()
