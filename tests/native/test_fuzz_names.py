"""The fuzzer of names and queries."""

from __future__ import annotations

from pathlib import Path

from rig.fuzzer import fuzz

NAMES = b"ac140002 - web.backend web\nfd000000000000000000000000000001 - web\nac140003 cl0 db\n"
HEADER = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0"


def question(name: bytes, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
    return HEADER + labels + b"\0" + kind.to_bytes(2, "big") + b"\0\1"


def test_resolver_reads_arbitrary_bytes(tmp_path: Path) -> None:
    asked = [
        (b"web", 1),
        (b"Web", 28),
        (b"2.0.20.172.in-addr.arpa", 12),
        (b"1" + b".0" * 31 + b".ip6.arpa", 12),
    ]
    seeds = {
        str(number): len(NAMES).to_bytes(2, "big") + NAMES + question(name, kind)
        for number, (name, kind) in enumerate(asked)
    }
    sources = ["resolver/message.c", "resolver/table.c", "init/base.c"]
    fuzz(tmp_path, "names", sources, seeds, longest=1024)
