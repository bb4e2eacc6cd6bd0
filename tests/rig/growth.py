"""By how much a process of its own grows while it works: the most that it has in memory, beyond what it began with."""

from __future__ import annotations

import subprocess
import sys
from typing import IO

__all__ = ["growth"]

# of the program alone: ru_maxrss has that of who started it in it
_PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
"""


def growth(before: str, work: str, *arguments: str, stdin: IO[bytes] | None = None) -> int:
    """Bytes: Python's statements `before`, with `arguments` in sys.argv[1:], do not count, those of `work` do."""
    program = f"{before}\n{_PEAK}\nstart = peak()\n{work}\nprint(peak() - start)"
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, check=True)
    return int(done.stdout) * 1024
