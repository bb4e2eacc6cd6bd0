"""Archives that nobody would write, at every split."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from containerlib._sys.layers import LayerLimits, LayerWriter
from containerlib.errors import InvalidArgument, StageError

PARTS = st.sampled_from(["a", "b", "c", "d" * 110, ".", "é"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
TARGETS = st.one_of(
    NAMES, st.sampled_from(["/", "..", "../..", "/a", "a/../../b", "../outside", "/proc/self/root"])
)
KINDS = st.sampled_from(["file", "file", "directory", "symlink", "hardlink", "fifo"])
FORMATS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
SPLITS = st.lists(st.integers(0, 1 << 16), max_size=20)
LIMITS = LayerLimits(max_entries=2000, max_bytes=1 << 20)
patient = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

ENTRIES = st.lists(
    st.tuples(KINDS, NAMES, TARGETS, st.binary(max_size=1500), st.integers(0, 0o777), st.integers(0, 2**31)),
    max_size=12,
)


def build(archive: Any, version: int, entries: list[Any]) -> bytes:
    made = archive(version)
    for kind, name, target, content, mode, mtime in entries:
        facts = {"mode": mode | 0o700, "mtime": mtime}
        if kind in ("symlink", "hardlink"):
            made.add(kind, name, linkname=target, **facts)
        else:
            made.add(kind, name, content if kind == "file" else b"", **facts)
    return bytes(made.data())


def write(root: Path, data: bytes, splits: list[int]) -> str:
    """Applies `data` cut at `splits`. The error's text, "" for none."""
    edges = [0, *sorted(each % (len(data) + 1) for each in splits), len(data)]
    root.mkdir()
    try:
        with LayerWriter(str(root), limits=LIMITS) as writer:
            for start, end in pairwise(edges):
                writer.feed(data[start:end])
            writer.finish()
    except (InvalidArgument, StageError) as error:
        return str(error)
    return ""


def declared(facts: dict[str, Any], entries: list[Any]) -> dict[str, Any]:
    """Without the times of directories that no entry declares."""
    named = {os.path.normpath(name) for kind, name, *_ in entries if kind == "directory"}
    return {
        path: fact if fact.kind != "d" or path in named else fact._replace(mtime_ns=0)
        for path, fact in facts.items()
    }


@patient
@given(version=FORMATS, entries=ENTRIES, splits=SPLITS)
def test_layer_does_not_depend_on_where_its_bytes_are_split(archive, facts, version, entries, splits):
    data = build(archive, version, entries)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        whole, cut = write(base / "whole", data, []), write(base / "cut", data, splits)
        assert whole == cut
        if not whole:
            assert declared(facts(base / "whole"), entries) == declared(facts(base / "cut"), entries)


@patient
@given(version=FORMATS, entries=ENTRIES)
def test_layer_is_what_tarfile_extracts(archive, facts, version, entries):
    unique = {
        os.path.normpath(entry[1]): entry for entry in entries if entry[0] in ("file", "directory", "fifo")
    }
    flat = {name for name, entry in unique.items() if entry[0] != "directory"}
    tree = [
        (entry[0], name, *entry[2:])
        for name, entry in unique.items()
        if name != "." and not any(name.startswith(f"{other}/") for other in flat)
    ]
    data = build(archive, version, tree)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        assert write(base / "ours", data, []) == ""
        (base / "theirs").mkdir(mode=0o755)
        with tarfile.open(fileobj=io.BytesIO(data)) as theirs:
            theirs.extractall(base / "theirs", filter="fully_trusted")
        ours = declared(facts(base / "ours"), tree)
        expected = declared(facts(base / "theirs"), tree)
        assert set(ours) == set(expected)
        for _, path, *_ in tree:
            assert ours[path] == expected[path]


def mutate(draw: Callable[..., Any], data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(changed) - 1))
        piece = draw(
            st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from([b"../", b"\xff" * 12, b"S", b"7"]))
        )
        changed[at : at + len(piece)] = piece
    for start in range(0, len(changed) - 511, 512):  # so that the damage is not found by the checksum alone
        if changed[start + 257 : start + 262] == b"ustar":
            changed[start + 148 : start + 156] = b" " * 8
            changed[start + 148 : start + 156] = b"%06o\0 " % (sum(changed[start : start + 512]) & 0o777777)
    return bytes(changed)


@patient
@given(data=st.data(), version=FORMATS, entries=ENTRIES.filter(bool), splits=SPLITS)
def test_layer_that_is_damaged_raises_its_error_and_stays_inside(
    archive, facts, *, data, version, entries, splits
):
    damaged = mutate(data.draw, build(archive, version, entries))
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "outside").mkdir()
        (base / "outside" / "witness").write_bytes(b"untouched")
        before = facts(base / "outside")
        write(base / "layer", damaged, splits)
        assert facts(base / "outside") == before
        assert {path.name for path in base.iterdir()} == {"layer", "outside"}
