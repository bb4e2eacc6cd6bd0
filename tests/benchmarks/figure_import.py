"""What `import containerlib` costs beyond starting the interpreter, and whether it brings httpx."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.bench import Bench
from benchmarks.measure import Row, in_turns, timed

LIMIT = 0.060


def measure(bench: Bench) -> list[Row]:
    def python(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    samples = {"bare": timed(lambda: python("pass")), "import": timed(lambda: python("import containerlib"))}
    medians = in_turns(samples, bench.rounds)
    loaded = "import sys, containerlib; sys.exit('httpx' in sys.modules)"
    brings = subprocess.run([sys.executable, "-c", loaded], check=False).returncode
    note = (
        f"the interpreter alone: {medians['bare'] * 1000:.1f} ms; httpx is {'' if brings else 'not '}imported"
    )
    return [
        Row("import containerlib", "60 ms", medians["import"] - medians["bare"], LIMIT, limit=1.0, note=note)
    ]
