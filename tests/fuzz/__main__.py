"""`python -m fuzz [--target config|images] [--count N] [--seed S]`: input that is nearly right, and what becomes of it.

Each execution has a number, and always the same bytes: `--first N --count 1` is one of them again. Findings are
written to `--findings`, each place once, and the status is 1 then.

With `--engine atheris` (pip install containerlib[fuzz]) the same changes are guided by what code they reach.
"""

from __future__ import annotations

import argparse
import collections
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

STUCK = 20
"""Seconds after which an execution is given up."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--target", choices=("config", "images"), default="config")
    parser.add_argument("--engine", choices=("plain", "atheris"), default="plain")
    arguments = parser.parse_args()
    if arguments.engine == "atheris":
        return guided(arguments)
    return plain(arguments)


def target(name: str) -> tuple[Any, Any, Any]:
    """What makes the input of an execution, what judges it, and what changes JSON in a few places."""
    if name == "images":
        from fuzz import images

        return images.mutated, images.judge, images.changed
    from fuzz import mutate
    from fuzz.target import judge

    return mutate.mutated, judge, mutate.changed


def plain(arguments: argparse.Namespace) -> int:
    from fuzz.target import TooSlow

    mutated, judge, _ = target(arguments.target)

    def give_up(*_: object) -> None:
        raise TooSlow(f"given up after {STUCK} s")

    signal.signal(signal.SIGALRM, give_up)
    outcomes: collections.Counter[str] = collections.Counter()
    found: dict[str, int] = {}
    start = time.monotonic()
    for index in range(arguments.first, arguments.first + arguments.count):
        text = mutated(arguments.seed, index)
        try:
            signal.alarm(STUCK)
            outcomes[judge(text)] += 1
            signal.alarm(0)
        except Exception as error:
            outcomes["FOUND"] += 1
            signal.alarm(0)
            report(error, text, index, found, arguments.findings)
        if index % 50_000 == 0:
            print(f"{index} after {time.monotonic() - start:.0f} s: {dict(outcomes)}", flush=True)
    took = time.monotonic() - start
    print(f"{arguments.count} executions in {took:.0f} s, seed {arguments.seed}: {dict(outcomes)}")
    return int(bool(found))


def report(error: Exception, text: bytes, index: int, found: dict[str, int], directory: Path) -> None:
    """Each place once."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "containerlib" in frame.filename]
    where = own[-1] if own else place
    name = f"{type(error).__name__}-{Path(where.filename).stem}-{where.lineno}"
    found[name] = found.get(name, 0) + 1
    if found[name] == 1:
        directory.mkdir(exist_ok=True)
        directory.joinpath(name).write_bytes(text)
        print(f"execution {index}: {name}: {error}", flush=True)
        traceback.print_exception(error)


def guided(arguments: argparse.Namespace) -> int:
    try:
        import atheris
    except ImportError:
        sys.exit("there is no atheris: pip install containerlib[fuzz]")
    packages = ["containerlib.images.registry", "containerlib.runtime", "containerlib.spec"]
    with atheris.instrument_imports(include=packages):
        mutated, judge, changed = target(arguments.target)

    def other(data: bytes, size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        text: bytes = changed(rng, decoded(data)) if rng.random() < 0.9 else atheris.Mutate(data, size)
        return text[:size]

    corpus = arguments.findings / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for index in range(100):
        corpus.joinpath(str(index)).write_bytes(mutated(arguments.seed, index))
    flags = [
        f"-runs={arguments.count}",
        f"-seed={arguments.seed}",
        "-max_len=200000",
        "-timeout=60",
        "-print_final_stats=1",
    ]
    words = [sys.argv[0], *flags, f"-artifact_prefix={arguments.findings}/", str(corpus)]
    atheris.Setup(words, judge_bytes(judge), custom_mutator=other)
    atheris.Fuzz()
    return 0


def judge_bytes(judge: Any) -> Any:
    def one(data: bytes) -> None:
        judge(data)

    return one


def decoded(data: bytes) -> Any:
    """None where it is no JSON: another one is taken then."""
    import json

    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


if __name__ == "__main__":
    sys.exit(main())
