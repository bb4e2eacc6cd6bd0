from __future__ import annotations

import re

import pytest

from containerlib.engine.names import check_name, new_id, new_name
from containerlib.errors import InvalidArgument


def test_new_id_is_64_hex_digits_and_new() -> None:
    first, second = new_id(), new_id()
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert first != second


def test_new_name_is_one_that_users_may_give() -> None:
    for unique in (False, True):
        name = new_name(unique=unique)
        assert check_name(name) == name


def test_new_name_unique_differs_each_time() -> None:
    assert len({new_name(unique=True) for _ in range(200)}) == 200


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a b", "ä", "a\n", "x" * 129])
def test_check_name_bad_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_name(name)
    assert caught.value.field == "name"
