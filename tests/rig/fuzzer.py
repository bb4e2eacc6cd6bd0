"""A harness of libFuzzer's in tests/native, built with the sanitizers and run for a while.

    fuzz(tmp_path, "plan", ["init/plan.c", "init/base.c"], {"plan": plan.pack()})

Its input begins with the seeds. `FUZZ_RUNS=1000000` makes a short run a long one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

__all__ = ["fuzz"]

_REPOSITORY = Path(__file__).parents[2]
_FLAGS = "-g -O1 -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wno-missing-field-initializers -fno-sanitize-recover=all"


def fuzz(
    place: Path,
    harness: str,
    sources: Iterable[str],
    seeds: Mapping[str, bytes],
    *,
    runs: int = 50000,
    longest: int = 4096,
    defines: Iterable[str] = (),
) -> None:
    """`sources`: patterns of files below _native, whose directories are looked in for headers too.

    Skips where there is no clang with libFuzzer.
    """
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang: install clang and its sanitizers (Debian: libclang-rt-dev)")
    native = _REPOSITORY / "_native"
    files = [path for pattern in sources for path in sorted(native.glob(pattern))]
    includes = sorted({str(path.parent) for path in files} | {str(native / "include")})
    words = [*_FLAGS.split(), "-fsanitize=fuzzer,address,undefined", *(f"-D{one}" for one in defines)]
    words += [f"-I{one}" for one in includes] + [str(_REPOSITORY / f"tests/native/fuzz_{harness}.c")]
    program, corpus = place / f"fuzz_{harness}", place / "corpus"
    built = subprocess.run(
        [clang, *words, *map(str, files), "-o", program], capture_output=True, text=True, check=False
    )
    if "libclang_rt" in built.stderr:
        pytest.skip("this clang has no libFuzzer or sanitizer runtime (Debian: libclang-rt-dev)")
    assert built.returncode == 0, built.stderr
    corpus.mkdir()
    for name, data in seeds.items():
        (corpus / name).write_bytes(data)
    runs = int(os.environ.get("FUZZ_RUNS", runs))
    options = [f"-runs={runs}", "-seed=1", f"-max_len={longest}", "-timeout=10", "-rss_limit_mb=1024"]
    # by a shell that forks: whoever is started right here has the most memory that this process ever had as its own
    ran = subprocess.run(
        ["sh", "-c", '"$0" "$@"; exit $?', program, *options, str(corpus)],
        cwd=place,
        env={**os.environ, "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert f"Done {runs} runs" in ran.stderr
