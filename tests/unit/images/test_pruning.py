"""Which images a prune takes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from containerlib.images import ImageRecord
from containerlib.images.content.pruning import PrunePolicy, doomed
from containerlib.spec.image_config import ImageConfig

NOW = 1_000_000.0


def image(name: str, *, age: float = 0, named: bool = True, size: int = 100, **labels: str) -> ImageRecord:
    return ImageRecord(
        id=f"sha256:{name}",
        references=(f"docker.io/library/{name}:latest",) if named else (),
        config=ImageConfig(labels=tuple(labels.items())),
        size_bytes=size,
        created_at=datetime.fromtimestamp(NOW - age, UTC),
        layers=(),
    )


def chosen(*records: ImageRecord, used: str = "", **policy: Any) -> list[str]:
    found = doomed(records, PrunePolicy(**policy), now=NOW, in_use=lambda id_: id_ == f"sha256:{used}")
    return [record.id.removeprefix("sha256:") for record in found]


def test_doomed_by_default_are_those_without_a_name() -> None:
    assert chosen(image("a"), image("b", named=False)) == ["b"]


def test_doomed_with_named_are_all_that_no_container_uses() -> None:
    assert chosen(image("a", age=1), image("b", age=2), used="a", named=True) == ["b"]


def test_doomed_older_than_are_only_the_old() -> None:
    assert chosen(image("a", age=59), image("b", age=61), named=True, older_than=60.0) == ["b"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [({"a": "1"}, ["x"]), ({"a": None}, ["x", "y"]), ({"a": "1", "b": None}, []), ({}, ["x", "y", "z"])],
)
def test_doomed_with_labels_are_those_that_have_all(wanted: dict[str, str | None], found: list[str]) -> None:
    records = (image("x", a="1"), image("y", a="2"), image("z", b="1"))
    assert sorted(chosen(*records, named=True, labels=tuple(wanted.items()))) == found


def test_doomed_down_to_a_size_are_the_oldest() -> None:
    records = (image("new", age=1), image("old", age=3), image("mid", age=2))
    assert chosen(*records, named=True, keep_bytes=150) == ["old", "mid"]
    assert chosen(*records, named=True, keep_bytes=300) == []


def test_doomed_down_to_a_size_counts_what_has_to_stay() -> None:
    records = (image("used", size=500), image("free", size=10))
    assert chosen(*records, named=True, used="used", keep_bytes=100) == ["free"]
