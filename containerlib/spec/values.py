"""Frozen values that are cheap to define: what a command's start can pay for.

    @frozen
    class Point:
        x: int
        y: int = 0

    evolve(Point(1), y=2)

attrs takes 17 ms to import and 0.3 ms for each class; this takes nothing and 0.02 ms. A type checker sees attrs' own,
and they behave as these do: immutable, with slots, equal and hashed by their fields, picklable. They are for the
modules that `containerlib-oci create` loads; the rest uses attrs. A kind that is often made gets an `__init__` of its
own, as attrs writes one at once: a tenth of a millisecond that a command does not have, for a value in a quarter of the
time, of which a start makes twenty.

`cast` and `NamedTuple` are typing's, which takes 5 ms to import.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, cast

    from attrs import evolve, field, frozen
else:
    from collections import namedtuple

    _MISSING = object()
    _OFTEN = 16

    class _Field:
        __slots__ = ("default", "factory", "in_repr")

        def __init__(self, default, factory, in_repr):
            self.default, self.factory, self.in_repr = default, factory, in_repr

        def fill(self):
            """The value where none is given; _MISSING where one must be."""
            return self.factory() if self.factory else self.default

    def field(*, default=_MISSING, factory=None, repr=True):  # noqa: A002 - attrs' word
        return _Field(default, factory, repr)

    def frozen(kind=None, *, eq=True):
        return _frozen(kind, eq) if kind is not None else lambda kind: _frozen(kind, eq)

    def evolve(value, /, **changes):
        return type(value)(**{name: getattr(value, name) for name in value.__slots__} | changes)

    def cast(_kind, value):
        return value

    def _frozen(kind, eq):
        names = tuple(vars(kind).get("__annotations__", ()))
        found = {name: vars(kind).get(name, _MISSING) for name in names}
        fields = {name: f if isinstance(f, _Field) else _Field(f, None, True) for name, f in found.items()}
        left_out = {*names, "__dict__", "__weakref__"}
        body = {name: item for name, item in vars(kind).items() if name not in left_out}
        body |= {"__slots__": names, "__match_args__": names, "_fields": fields, "_made": 0, **_METHODS}
        if eq:
            body |= {"__eq__": _equal, "__hash__": _hash}
        return type(kind)(kind.__name__, kind.__bases__, body)

    def _init(self, /, *values, **named):
        fields, name = self._fields, type(self).__name__
        if len(values) > len(fields):
            raise TypeError(f"{name} has {len(fields)} fields, and {len(values)} values were given")
        given = dict(zip(fields, values, strict=False))
        if wrong := (given.keys() & named.keys()) | (named.keys() - fields.keys()):
            raise TypeError(f"{name} has no such field, or has it already: {', '.join(sorted(wrong))}")
        given |= named
        for key, item in fields.items():
            value = given[key] if key in given else item.fill()
            if value is _MISSING:
                raise TypeError(f"{name} needs {key}")
            object.__setattr__(self, key, value)
        kind = type(self)
        kind._made += 1
        if kind._made == _OFTEN:
            kind.__init__ = _written_init(kind)

    def _written_init(kind):
        """What `_init` does, written out for the fields of `kind`."""
        fields = kind._fields
        scope = {"missing": _MISSING, **{f"set_{name}": getattr(kind, name).__set__ for name in fields}}
        parameters, lines = [], []
        for name, item in fields.items():
            value = name
            if item.factory:
                scope[f"make_{name}"] = item.factory
                value = f"make_{name}() if {name} is missing else {name}"
                parameters.append(f"{name}=missing")
            elif item.default is _MISSING:
                parameters.append(name)
            else:
                scope[f"default_{name}"] = item.default
                parameters.append(f"{name}=default_{name}")
            lines.append(f"    set_{name}(self, {value})")
        exec("\n".join([f"def __init__(self, {', '.join(parameters)}):", *lines]), scope)  # noqa: S102 - names alone
        return scope["__init__"]

    def _repr(self):
        shown = (f"{name}={getattr(self, name)!r}" for name, item in self._fields.items() if item.in_repr)
        return f"{type(self).__name__}({', '.join(shown)})"

    def _values(self):
        return tuple(getattr(self, name) for name in self.__slots__)

    def _equal(self, other):
        if other is self:
            return True
        return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented

    def _hash(self):
        return hash((self.__class__, _values(self)))

    def _reduce(self):
        return type(self), _values(self)

    def _refuse(self, name, _value=None):
        raise AttributeError(f"{type(self).__name__}.{name} is frozen")

    _METHODS = {
        "__init__": _init,
        "__repr__": _repr,
        "__reduce__": _reduce,
        "__setattr__": _refuse,
        "__delattr__": _refuse,
    }

    class _NamedTuple(type):
        """Makes a named tuple of the annotations of a class, with the methods that it has."""

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            names = body.get("__annotations__", {})
            defaults = [body[key] for key in names if key in body]
            kind = namedtuple(name, names, defaults=defaults, module=body["__module__"])
            for key, item in body.items():
                if key not in names and key not in ("__module__", "__qualname__"):
                    setattr(kind, key, item)
            return kind

    class NamedTuple(metaclass=_NamedTuple):
        pass


__all__ = ["NamedTuple", "cast", "evolve", "field", "frozen"]
