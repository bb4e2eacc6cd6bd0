"""A short run of the fuzzers over the tar parser and the writers of layers, with the sanitizers on."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SANITIZERS = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
FLAGS = [
    "-g",
    "-O1",
    *SANITIZERS,
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wshadow",
    "-D_GNU_SOURCE",
    "-DEROFS_BUFFER=12288",
]
EXECUTIONS = int(os.environ.get("CONTAINERLIB_FUZZ_EXECUTIONS", "20000"))
# the sources of each harness, and what its input has before the archive
HARNESSES = {
    "fuzz_tar": (["tar*.c", "layer*.c", "intake.c", "lowers.c"], [b"\1"]),
    "fuzz_erofs": (["tar*.c", "erofs*.c", "layer_name.c", "intake.c", "lowers.c"], [b"\1\0", b"\1\1"]),
}


ACL = struct.pack(
    "<I" + 5 * "HHI", 2, 1, 6, 2**32 - 1, 2, 5, 7, 4, 4, 2**32 - 1, 16, 7, 2**32 - 1, 32, 0, 2**32 - 1
)
CAPABILITY = struct.pack("<5I", 0x2000001, 1 << 13, 0, 0, 0)


def below() -> bytes:
    """What lies in, leads through, or meets again behind a link of the layer that the harnesses have below: b is a."""
    buffer = io.BytesIO()
    entries = [
        ("a/t", b"2", "/e"),
        ("a/f", b"0", ""),
        ("a/n", b"0", ""),
        ("b/f", b"0", ""),
        ("g", b"1", "b/n"),
        ("h", b"1", "a/f"),
        ("b/t/u", b"0", ""),
        ("b/d/p", b"0", ""),
        ("a/d", b"5", ""),
        ("a/d/p", b"0", ""),
        ("b/.wh.d", b"0", ""),
        ("b/w/x", b"0", ""),
        ("a/.wh.w", b"0", ""),
        ("a/l/y", b"0", ""),
        ("b/d/.wh..wh..opq", b"0", ""),
    ]
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, kind, link in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            if name == "a/f":
                values = {"system.posix_acl_access": ACL, "security.capability": CAPABILITY}
                info.pax_headers = {
                    f"SCHILY.xattr.{key}": os.fsdecode(value) for key, value in values.items()
                }
            made.addfile(info)
    return buffer.getvalue()


def seeds(corpus: Path, prefixes: list[bytes]) -> None:
    def add(name: str, data: bytes) -> None:
        data = data.rstrip(b"\0")  # an archive may end without its mark
        data += bytes(-len(data) % 512)
        for number, prefix in enumerate(prefixes):
            (corpus / f"{name}{number}").write_bytes(prefix + data)

    names = ["a", "a/f", "b/s", "b/h", "p", "a/.wh.x", "n" * 120, "b/.wh..wh..opq"]
    for name, version in (("pax", tarfile.PAX_FORMAT), ("gnu", tarfile.GNU_FORMAT)):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=version) as made:
            for number, kind in enumerate((b"5", b"0", b"2", b"1", b"6", b"3", b"0", b"0")):
                info = tarfile.TarInfo(names[number])
                info.type, info.linkname, info.mtime = kind, "a/f", 1.5 if name == "pax" else 1
                info.pax_headers = {"SCHILY.xattr.user.x": "1"} if number == 1 else {}
                content = b"content" if kind == b"0" else b""
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
        add(name, buffer.getvalue())
    add("below", below())
    sparse = corpus.parent / "sparse"
    with sparse.open("wb") as file:
        for number in range(6):
            file.seek(number << 16)
            file.write(b"x")
    for options in (
        ["gnu"],
        *(["posix", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")),
    ):
        data = subprocess.run(
            ["tar", "-C", str(corpus.parent), "--sparse", "-b1", "--format", *options, "-c", sparse.name],
            check=True,
            capture_output=True,
        ).stdout
        add("".join(options), data)


@pytest.mark.parametrize("harness", HARNESSES)
def test_layer_writer_survives_a_run_of_the_fuzzer(tmp_path, harness):
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("needs clang with libFuzzer")
    patterns, prefixes = HARNESSES[harness]
    sources = [REPOSITORY / f"tests/native/{harness}.c"]
    for pattern in patterns:
        sources += sorted((REPOSITORY / "_native/ext").glob(pattern))
    includes = [f"-I{REPOSITORY / '_native' / part}" for part in ("include", "ext")]
    program = tmp_path / harness
    built = subprocess.run(
        [clang, *FLAGS, *includes, *map(str, sources), "-o", str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "libclang_rt" in built.stderr:
        pytest.skip("this clang has no libFuzzer or sanitizer runtime")
    assert built.returncode == 0, built.stderr
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    seeds(corpus, prefixes)
    ran = subprocess.run(
        [
            program,
            f"-runs={EXECUTIONS}",
            "-seed=1",
            "-max_len=8192",
            "-timeout=10",
            "-rss_limit_mb=1024",
            str(corpus),
        ],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert f"Done {EXECUTIONS} runs" in ran.stderr
