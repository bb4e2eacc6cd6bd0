"""registries.conf, version 2, as values: which registries a name is really asked of. No I/O.

    configuration = parse(data, "/etc/containers/registries.conf").over(parse(...))
    for location in configuration.locations(Reference.parse("docker.io/library/redis:7")):
        location.registry, location.repository, location.insecure, location.is_mirror

Names are complete when they come here, so nothing is read of unqualified-search-registries and aliases. `token-server`
is a key of this library's own, which the other readers of the file ignore.

Spec: containers-registries.conf(5), containers-registries.conf.d(5).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, cast

from attrs import evolve, frozen

from containerlib.errors import InvalidArgument
from containerlib.spec.auth import check_token_server
from containerlib.spec.reference import Reference

__all__ = ["Configuration", "Location", "Mirror", "Rule", "parse"]

Pull = Literal["all", "digest-only", "tag-only"]
_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._-]+)*([:@][A-Za-z0-9._:-]+)?", re.ASCII)
_REPOSITORY = re.compile(r"[^/@]+(/[^/:@]+)+")
_PULLS = ("all", "digest-only", "tag-only")


@frozen
class Location:
    """One place that a repository is read from."""

    registry: str
    repository: str
    insecure: bool | None = None
    is_mirror: bool = False
    token_server: str = ""


@frozen
class Mirror:
    """`location` stands in for the rule's prefix; `pull` says for which references."""

    location: str
    insecure: bool = False
    pull: Pull = "all"
    token_server: str = ""


@frozen
class Rule:
    """One `[[registry]]`. `source` is the file that it is from."""

    prefix: str
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()
    source: str = ""
    token_server: str = ""

    def matches(self, name: str) -> bool:
        """Whether `name`, a registry and repository with a tag or digest behind, is under the prefix."""
        if self.prefix.startswith("*."):
            return name.partition("/")[0].partition(":")[0].endswith(self.prefix[1:])
        return name.startswith(self.prefix) and name[len(self.prefix) :][:1] in ("", "/", ":", "@")

    def moved(self, name: str, target: str, location: str) -> str:
        """`name` with `location` in the place of the prefix; a wildcard stands for the whole host.

        Raises: InvalidArgument for another `target` (":tag" or "@digest") than what was asked for.
        """
        if not location:
            return name
        start = name.partition("/")[0] if self.prefix.startswith("*.") else self.prefix
        moved = (location + (name + target)[len(start) :]).removesuffix(target)
        if not _REPOSITORY.fullmatch(moved):
            raise InvalidArgument(f"{name}{target} would be read as {moved!r}", field=self.source)
        return moved


@frozen
class Configuration:
    """Every rule. What matches the most of a name is the one that counts."""

    rules: tuple[Rule, ...] = ()

    def over(self, other: Configuration) -> Configuration:
        """Both, where a rule of this one replaces the other's of the same prefix."""
        ours = {rule.prefix for rule in self.rules}
        return Configuration((*(rule for rule in other.rules if rule.prefix not in ours), *self.rules))

    def with_mirrors(self, registry: str, mirrors: Sequence[str]) -> Configuration:
        """The same, but with these and no other mirrors of everything in `registry`. Raises: InvalidArgument."""
        given = tuple(Mirror(_checked(mirror, "mirrors")) for mirror in mirrors)
        own = next((rule for rule in self.rules if rule.prefix == registry), Rule(registry, registry))
        others = (
            evolve(rule, mirrors=()) if rule.prefix.partition("/")[0] == registry else rule
            for rule in self.rules
        )
        return Configuration((evolve(own, mirrors=given),)).over(Configuration(tuple(others)))

    def locations(self, reference: Reference) -> tuple[Location, ...]:
        """Where to read it from, in this order: mirrors, then the registry itself.

        Raises: InvalidArgument(field="reference") for what is blocked.
        """
        name = f"{reference.registry}/{reference.repository}"
        target = f"@{reference.digest}" if reference.digest else f":{reference.target}"
        matching = [rule for rule in self.rules if rule.matches(name + target)]
        if not matching:
            return (Location(reference.registry, reference.repository),)
        rule = max(matching, key=lambda rule: len(rule.prefix))
        if rule.blocked:
            raise InvalidArgument(
                f"{name} is blocked by {rule.source or 'the configuration'}", field="reference"
            )
        unwanted = "tag-only" if reference.digest else "digest-only"
        mirrors = [mirror for mirror in rule.mirrors if mirror.pull != unwanted]
        return (
            *(
                _location(rule.moved(name, target, mirror.location), mirror, is_mirror=True)
                for mirror in mirrors
            ),
            _location(rule.moved(name, target, rule.location), rule, is_mirror=False),
        )


def _location(name: str, of: Rule | Mirror, *, is_mirror: bool) -> Location:
    registry, _, repository = name.partition("/")
    return Location(registry, repository, of.insecure or None, is_mirror, of.token_server)


@lru_cache(maxsize=32)
def parse(data: bytes, source: str) -> Configuration:
    """The rules of one file. Raises: InvalidArgument(field=the path of what is wrong)."""
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # also what is not UTF-8
        raise InvalidArgument(f"it is not TOML: {error}", field=source) from error
    if "registries" in document:
        raise InvalidArgument("it is of version 1, and version 2 has [[registry]] tables", field=source)
    tables = _Table(document, source).tables("registry")
    rules = tuple(_rule(table, source) for table in tables)
    prefixes = [rule.prefix for rule in rules]
    if twice := {prefix for prefix in prefixes if prefixes.count(prefix) > 1}:
        raise InvalidArgument(f"{sorted(twice)[0]!r} has two [[registry]] tables", field=source)
    return Configuration(rules)


def _rule(table: _Table, source: str) -> Rule:
    location = table.name("location")
    prefix = table.name("prefix", wildcard=True) or location
    if not prefix:
        raise InvalidArgument("a location or a prefix is needed", field=table.where)
    if not location and not prefix.startswith("*."):
        location = prefix
    only_digests = table.flag("mirror-by-digest-only")
    mirrors = []
    for mirror in table.tables("mirror"):
        pull = mirror.text("pull-from-mirror") or "all"
        if pull not in _PULLS or (only_digests and "pull-from-mirror" in mirror):
            raise InvalidArgument(
                f"{pull!r}: one of {', '.join(_PULLS)}, and not beside mirror-by-digest-only",
                field=f"{mirror.where}.pull-from-mirror",
            )
        where = mirror.name("location")
        if not where:
            raise InvalidArgument("a mirror needs a location", field=mirror.where)
        pull = "digest-only" if only_digests else pull
        mirrors.append(Mirror(where, mirror.flag("insecure"), cast("Pull", pull), mirror.token_server()))
    return Rule(
        prefix,
        location,
        table.flag("insecure"),
        table.flag("blocked"),
        tuple(mirrors),
        source,
        table.token_server(),
    )


class _Table:
    """A TOML table, read by names and types."""

    def __init__(self, fields: dict[str, Any], where: str) -> None:
        self._fields = fields
        self.where = where

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def text(self, name: str) -> str:
        return cast("str", self._typed(name, str, ""))

    def flag(self, name: str) -> bool:
        return cast("bool", self._typed(name, bool, False))

    def name(self, name: str, *, wildcard: bool = False) -> str:
        """A registry, with a namespace or repository behind it or not."""
        return _checked(self.text(name), f"{self.where}.{name}", wildcard=wildcard)

    def token_server(self) -> str:
        return check_token_server(self.text("token-server"), f"{self.where}.token-server")

    def tables(self, name: str) -> Iterator[_Table]:
        items = self._typed(name, list, [])
        for i, item in enumerate(items):
            if not isinstance(item, dict):
                raise InvalidArgument("a table is needed", field=f"{self.where}.{name}[{i}]")
            yield _Table(item, f"{self.where}.{name}[{i}]")

    def _typed(self, name: str, kind: type, default: Any) -> Any:
        value = self._fields.get(name, default)
        if not isinstance(value, kind):
            raise InvalidArgument(
                f"{kind.__name__} is needed, not {type(value).__name__}", field=f"{self.where}.{name}"
            )
        return value


def _checked(value: str, field: str, *, wildcard: bool = False) -> str:
    """`host[:port][/namespace]`; with `wildcard` also `*.host`."""
    name = value.rstrip("/")
    starred = wildcard and name.startswith("*.") and "/" not in name
    if value and not _NAME.fullmatch(name.removeprefix("*.") if starred else name):
        raise InvalidArgument(f"{value[:200]!r} is not host[:port][/namespace]", field=field)
    return name
