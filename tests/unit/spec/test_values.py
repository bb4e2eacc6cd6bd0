"""Cheap frozen values beside attrs': the same behaviour."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import attrs
import pytest

from containerlib.spec import values

KINDS = [attrs, values]


def point(module: Any) -> Any:
    @module.frozen
    class Point:
        x: int
        y: int = 2
        tags: dict[str, int] = module.field(factory=dict)
        secret: str = module.field(default="s", repr=False)

        @property
        def sum(self) -> int:
            return self.x + self.y

        @classmethod
        def origin(cls) -> Any:
            return cls(0, 0)

    return Point


@pytest.fixture(
    params=[(attrs, 0), (values, 0), (values, 16)], ids=["attrs", "ours", "ours that is made often"]
)
def kind(request: pytest.FixtureRequest) -> Any:
    module, often = request.param
    made = point(module)
    for number in range(often):
        made(number)
    return made


def test_kind_that_is_made_often_gets_an_init_of_its_own() -> None:
    kind = point(values)
    first = kind.__init__
    for number in range(16):
        kind(number)
    assert kind.__init__ is not first


def test_fields_by_place_and_by_name(kind: Any) -> None:
    made = kind(1, y=5)
    assert (made.x, made.y, made.tags, made.secret, made.sum) == (1, 5, {}, "s", 6)
    assert kind(1).tags is not kind(1).tags
    assert kind.origin().sum == 0


@pytest.mark.parametrize(
    ("places", "names"), [((), {}), ((1, 2, {}, "s", 5), {}), ((1,), {"x": 1}), ((1,), {"z": 1})]
)
def test_wrong_fields_are_refused(kind: Any, places: tuple[Any, ...], names: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        kind(*places, **names)


def test_values_are_frozen(kind: Any) -> None:
    made = kind(1)
    for change in (
        lambda: setattr(made, "x", 2),
        lambda: setattr(made, "new", 2),
        lambda: delattr(made, "x"),
    ):
        with pytest.raises(AttributeError):
            change()
    assert not hasattr(made, "__dict__")


def test_values_are_equal_by_their_fields_and_their_kind(kind: Any) -> None:
    assert kind(1) == kind(1, 2)
    assert kind(1) != kind(2)
    assert kind(1) != (1, 2, {}, "s")
    assert kind(1).__eq__(1) is NotImplemented


def test_values_hash_by_their_fields(kind: Any) -> None:
    assert hash(kind(1, tags=())) == hash(kind(1, tags=()))
    with pytest.raises(TypeError):
        hash(kind(1))


def test_repr_leaves_out_what_is_not_to_be_shown(kind: Any) -> None:
    assert repr(kind(1)).endswith("Point(x=1, y=2, tags={})")


def test_match_by_place(kind: Any) -> None:
    match kind(1):
        case kind(x, y):
            assert (x, y) == (1, 2)
        case _:
            pytest.fail("it does not match")


@pytest.mark.parametrize("module", KINDS)
def test_evolve_makes_another(module: Any) -> None:
    made = point(module)(1)
    changed = module.evolve(made, x=9)
    assert (made.x, changed.x, changed.y) == (1, 9, 2)
    with pytest.raises(TypeError):
        module.evolve(made, z=1)


@pytest.mark.parametrize("module", KINDS)
def test_fields_may_have_any_name(module: Any) -> None:
    @module.frozen
    class Odd:
        value: int
        values: int = 1

    assert module.evolve(Odd(1), value=2) == Odd(value=2, values=1)


@pytest.mark.parametrize("module", KINDS)
def test_without_equality_values_are_themselves_alone(module: Any) -> None:
    @module.frozen(eq=False)
    class Thing:
        x: int

    one = Thing(1)
    assert one == one  # noqa: PLR0124
    assert one != Thing(1)
    assert len({one, Thing(1)}) == 2


@values.frozen
class Sent:
    x: int
    y: str = "b"


def test_values_are_pickled() -> None:
    assert pickle.loads(pickle.dumps(Sent(1))) == Sent(1)  # noqa: S301 - our own


class Pair(values.NamedTuple):
    a: int
    b: str = "x"

    def both(self) -> str:
        return f"{self.a}{self.b}"


def test_named_tuple_is_a_tuple_with_methods() -> None:
    made = Pair(1)
    assert made == (1, "x")
    assert (made.both(), made._replace(a=2).both(), Pair._fields) == ("1x", "2x", ("a", "b"))


def test_module_loads_neither_attrs_nor_typing() -> None:
    code = "import sys; before = {*sys.modules}; import containerlib.spec.values; print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/")
    assert not {"attr", "attrs", "typing", "dataclasses"} & {*done.stdout.split()}
