"""The two writers, of a directory and of an EROFS file, on archives that nobody would write: one tree."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from containerlib._sys.erofs import ErofsWriter
from containerlib._sys.layers import LayerLimits, LayerWriter
from containerlib.errors import InvalidArgument, StageError
from rig.mounts import check_erofs, mounted_erofs

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN, CAP_MKNOD, CAP_CHOWN: mounts EROFS files, makes devices")

PARTS = st.sampled_from(["a", "b", "c", "-", "d" * 110, ".", "é"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
TARGETS = st.one_of(NAMES, st.sampled_from(["/", "..", "../..", "/a", "b/../../a", "../outside", "x" * 300]))
KINDS = st.sampled_from(
    ["file", "file", "file", "directory", "symlink", "hardlink", "hardlink", "fifo", "character", "block"]
)
MARKS = st.sampled_from(["", "", "", "", ".wh.", ".wh..wh..opq"])
XATTRS = st.dictionaries(
    st.sampled_from(["user.a", "user.note", "trusted.b", "security.c", "trusted.overlay.opaque", "other.d"]),
    st.text("ab\n", max_size=5).map(str),
    max_size=2,
)
CONTENT = st.one_of(
    st.binary(max_size=100), st.integers(0, 20_000).map(lambda size: b"0123456" * (size // 7))
)
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "kind": KINDS,
            "name": NAMES,
            "mark": MARKS,
            "target": TARGETS,
            "content": CONTENT,
            "mode": st.integers(0, 0o7777),
            "mtime": st.sampled_from([0, 1.5, -1.25, 2**33, 1_600_000_000.000000001]),
            "uid": st.sampled_from([0, 7, 70_000]),
            "xattrs": XATTRS,
        }
    ),
    max_size=14,
)
LIMITS = LayerLimits(max_entries=2000, max_bytes=1 << 20)
patient = settings(
    max_examples=int(os.environ.get("CONTAINERLIB_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def build(archive: Any, entries: list[dict[str, Any]]) -> bytes:
    made = archive(tarfile.PAX_FORMAT)
    for entry in entries:
        kind, name, mark = entry["kind"], entry["name"], entry["mark"]
        facts = {"mode": entry["mode"], "mtime": entry["mtime"], "uid": entry["uid"]}
        facts["pax_headers"] = {f"SCHILY.xattr.{key}": value for key, value in entry["xattrs"].items()}
        if mark:
            parent, _, base = name.rpartition("/")
            base = mark if mark.endswith("opq") else mark + ("a" if base == "." else base)
            made.file(f"{parent}/{base}" if parent else base)
        elif kind in ("symlink", "hardlink"):
            made.add(kind, name, linkname=entry["target"], **facts)
        elif kind in ("character", "block"):
            made.add(kind, name, devmajor=1, devminor=300, **facts)
        else:
            made.add(kind, name, entry["content"] if kind == "file" else b"", **facts)
    return bytes(made.data())


def declared(entries: list[dict[str, Any]]) -> set[str]:
    """The directories that an entry is for."""
    directories = [entry for entry in entries if entry["kind"] == "directory" and not entry["mark"]]
    return {os.path.normpath(entry["name"]) for entry in directories}


def once(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """No name twice. Where an archive goes through a link of a layer below and then puts something else in the
    link's place, the EROFS writer, which asks the layers below at the end, knows the last alone."""
    return list({os.path.normpath(entry["name"]): entry for entry in reversed(entries)}.values())[::-1]


def error_of(writer: LayerWriter | ErofsWriter, data: bytes, splits: list[int]) -> str:
    edges = [0, *sorted(each % (len(data) + 1) for each in splits), len(data)]
    try:
        with writer:
            for start, end in pairwise(edges):
                writer.feed(data[start:end])
            writer.finish()
    except (InvalidArgument, StageError) as error:
        return str(error)
    return ""


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def seen(facts: Any, root: Path, named: set[str]) -> tuple[dict[str, Any], list[list[str]]]:
    """Every file's facts and number of names, without the times that nothing declares; and who share one."""
    shared = defaultdict(list)
    result = {}
    for name, fact in facts(root).items():
        path = root / name
        if is_whiteout(path):
            result[name] = "whiteout"
            continue
        declared = fact.kind != "d" or name in named
        links = path.lstat().st_nlink
        result[name] = (fact if declared else fact._replace(mtime_ns=0), links)
        if fact.kind != "d" and links > 1:
            shared[path.lstat().st_ino].append(name)
    return result, sorted(map(sorted, shared.values()))


@contextmanager
def written(
    base: Path, data: bytes, lowers: list[list[str]], splits: list[int]
) -> Iterator[tuple[str, str, Path, Path]]:
    directory, image, mounted = base / "directory", base / "image", base / "mounted"
    directory.mkdir()
    mounted.mkdir()
    first = error_of(LayerWriter(str(directory), lowers=lowers[0], limits=LIMITS), data, splits)
    second = error_of(ErofsWriter(str(image), lowers=lowers[1], limits=LIMITS), data, splits)
    if second:
        yield first, second, directory, mounted
        return
    check_erofs(image)
    with mounted_erofs(image, mounted):
        yield first, second, directory, mounted


@patient
@given(entries=ENTRIES, splits=st.lists(st.integers(0, 1 << 16), max_size=5))
def test_erofs_of_any_archive_is_the_tree_of_the_directory_writer(archive, facts, entries, splits):
    data = build(archive, entries)
    named = declared(entries)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        with written(Path(name), data, [[], []], splits) as (first, second, directory, mounted):
            # a link to what never comes is refused at the end, where the directory writer stops at once
            assert bool(first) == bool(second), (first, second)
            if not first:
                assert seen(facts, directory, named) == seen(facts, mounted, named)


@contextmanager
def overlay(target: Path, *layers: Path) -> Iterator[Path]:
    target.mkdir()
    lowers = ":".join(map(str, layers))
    subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={lowers}", "overlay", str(target)], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)


@patient
@given(below=ENTRIES, entries=ENTRIES)
def test_erofs_over_a_layer_merges_as_directories_do(archive, facts, below, entries):
    named = declared(below + entries)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name, ExitStack() as stack:
        low, top = Path(name) / "low", Path(name) / "top"
        low.mkdir()
        top.mkdir()
        first, second, *lows = stack.enter_context(written(low, build(archive, below), [[], []], []))
        if first or second:
            return
        data = build(archive, once(entries))
        first, second, *tops = stack.enter_context(written(top, data, [[str(each)] for each in lows], []))
        assert bool(first) == bool(second), (first, second)
        if not first:
            trees = [seen(facts, each, named) for each in tops]
            assert trees[0] == trees[1]
            views = [
                stack.enter_context(overlay(Path(name) / f"view{number}", *pair))
                for number, pair in enumerate(zip(tops, lows, strict=True))
            ]
            merged = [seen(facts, view, named) for view in views]
            assert merged[0] == merged[1]
