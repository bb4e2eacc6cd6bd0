"""What this thread may do, as the kernel says it elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from containerlib._sys import native


def test_has_capability_is_what_the_threads_status_says() -> None:
    status = Path("/proc/thread-self/status").read_text(encoding="ascii")
    effective = int(re.findall("CapEff:\t([0-9a-f]+)", status)[0], 16)
    assert [native.has_capability(number) for number in range(64)] == [
        bool(effective >> number & 1) for number in range(64)
    ]
