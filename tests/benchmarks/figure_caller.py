"""`run("true")` from a caller of 4 GiB, and from one with 50 threads, against a small one.

Each caller is a process of its own, which measures itself; they are asked in turns.
"""

from __future__ import annotations

import mmap
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.bench import IMAGE, Bench
from benchmarks.measure import Row, Sample, in_turns, timed

SIZE = 4 * 1024**3
THREADS = 50
KINDS = {"resident": "from 4 GiB resident", "threads": "from 50 threads"}


def measure(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        samples = {
            kind: stack.enter_context(caller(kind, bench.directory / f"root-{kind}", bench.archive))
            for kind in ("small", *KINDS)
        }
        medians = in_turns(samples, 3 * bench.rounds)  # a difference of a tenth takes many
    for kind, words in KINDS.items():
        yield Row(f'run("true") {words}', "from a small caller", medians[kind], medians["small"], limit=1.1)


@contextmanager
def caller(kind: str, root: Path, archive: Path) -> Iterator[Sample]:
    command = [sys.executable, "-m", "benchmarks.figure_caller", kind, str(root), str(archive)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        requests, answers = process.stdin, process.stdout

        def sample() -> float:
            requests.write("run\n")
            requests.flush()
            return float(answers.readline())

        yield sample
        requests.close()


def serve(kind: str, root: str, archive: str) -> None:
    """A caller: answers each line of input with the seconds of one run."""
    import containerlib as cl

    with cl.Engine(root=root) as engine, weight(kind):
        engine.images.load(archive)
        recipe = engine.container(IMAGE)
        run = timed(lambda: recipe.run("true"))
        for _ in sys.stdin:
            print(run(), flush=True)


@contextmanager
def weight(kind: str) -> Iterator[None]:
    if kind == "resident":
        with mmap.mmap(-1, SIZE) as memory:
            memory.madvise(mmap.MADV_NOHUGEPAGE)  # the dear case: a page table of a million entries
            for offset in range(0, SIZE, mmap.PAGESIZE):
                memory[offset] = 1
            yield
    elif kind == "threads":
        done = threading.Event()
        threads = [threading.Thread(target=done.wait) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        yield
        done.set()
    else:
        yield


if __name__ == "__main__":
    serve(*sys.argv[1:])
