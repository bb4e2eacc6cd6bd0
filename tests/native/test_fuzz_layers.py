"""The fuzzers of the tar parser and the writers of layers."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from rig.fuzzer import fuzz

# the sources of each harness, and what its input has before the archive
HARNESSES = {
    "tar": (["tar*.c", "layer*.c", "intake.c", "lowers.c"], [b"\1"]),
    "erofs": (["tar*.c", "erofs*.c", "layer_name.c", "intake.c", "lowers.c"], [b"\1\0", b"\1\1"]),
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


def seeds(place: Path, prefixes: list[bytes]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def add(name: str, data: bytes) -> None:
        data = data.rstrip(b"\0")  # an archive may end without its mark
        data += bytes(-len(data) % 512)
        for number, prefix in enumerate(prefixes):
            found[f"{name}{number}"] = prefix + data

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
    sparse = place / "sparse"
    with sparse.open("wb") as file:
        for number in range(6):
            file.seek(number << 16)
            file.write(b"x")
    for options in (
        ["gnu"],
        *(["posix", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")),
    ):
        data = subprocess.run(
            ["tar", "-C", str(place), "--sparse", "-b1", "--format", *options, "-c", sparse.name],
            check=True,
            capture_output=True,
        ).stdout
        add("".join(options), data)
    return found


@pytest.mark.parametrize("harness", HARNESSES)
def test_layer_writer_survives_a_run_of_the_fuzzer(tmp_path: Path, harness: str) -> None:
    patterns, prefixes = HARNESSES[harness]
    sources = [f"ext/{pattern}" for pattern in patterns]
    fuzz(
        tmp_path, harness, sources, seeds(tmp_path, prefixes),
        runs=20000, longest=8192, defines=["_GNU_SOURCE", "EROFS_BUFFER=12288"],
    )  # fmt: skip
