from __future__ import annotations

import pytest

from containerlib.errors import InvalidArgument
from containerlib.units import parse_size


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        (0, 0),
        ("64k", 64 << 10),
        ("1.5GB", 3 << 29),
        (" 256 MiB ", 256 << 20),
        ("7P", 7 << 50),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_parse_size_spellings_are_bytes(written: int | str, size_bytes: int) -> None:
    assert parse_size(written) == size_bytes


@pytest.mark.parametrize("written", ["", "-1", -1, "1 X", "8192P", 2**63, True, 1.5, None, b"1"])
def test_parse_size_nonsense_refused(written: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_size(written, field="memory")  # type: ignore[arg-type]
    assert caught.value.field == "memory"
