"""The arithmetic of the benchmarks' table."""

from __future__ import annotations

from benchmarks.measure import Row, Sample, Skip, compare, in_turns


def counting(values: list[float]) -> Sample:
    iterator = iter(values)
    return lambda: next(iterator)


def missing() -> Sample:
    raise Skip("no such peer: install it")


def test_in_turns_warm_up_does_not_count() -> None:
    assert in_turns({"a": counting([100, 100, 1, 2, 9])}, 3) == {"a": 2}


def test_row_above_its_limit_is_not_reached() -> None:
    assert Row("f", "p", ours=0.5, theirs=1.0, limit=0.4).cells()[4:7] == ["0.500", "<= 0.4", "NO"]


def test_compare_absent_peer_is_a_row_with_the_reason() -> None:
    (row,) = compare("f", lambda: lambda: 1.0, {"peer": (missing, 0.4)}, 1)
    assert (row.ratio, row.note) == (None, "no such peer: install it")


def test_compare_two_peers_have_a_ratio_each() -> None:
    rows = compare(
        "f", lambda: lambda: 1.0, {"a": (lambda: lambda: 2.0, 1.0), "b": (lambda: lambda: 4.0, None)}, 1
    )
    assert [row.ratio for row in rows] == [0.5, 0.25]
