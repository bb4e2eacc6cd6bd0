"""Image references, normalised as Docker does it: `redis` is `docker.io/library/redis:latest`."""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import frozen

from containerlib.errors import InvalidArgument
from containerlib.spec.digest import Digest

__all__ = ["Reference", "check_repository", "check_tag"]

DEFAULT_REGISTRY = "docker.io"
_OFFICIAL = "library/"
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?", re.ASCII)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{64}")
_MAX_NAME = 255


@frozen
class Reference:
    """A registry, a repository in it, and a tag or a digest (or both, and then the digest decides).

    Spec: distribution-spec spec.md#pulling-manifests; the short forms are Docker's.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @staticmethod
    def parse(text: str) -> Reference:
        """The full form of what people type; the tag is `latest` where neither tag nor digest is given.

        Raises: InvalidArgument(field="reference"), with what is wrong.
        """
        return _parse(text)

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest if there is one, else the tag."""
        return str(self.digest) if self.digest else self.tag or "latest"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


@lru_cache(maxsize=1024)
def _parse(text: str) -> Reference:
    scheme, separator, rest = text.partition("://")
    if separator:
        raise InvalidArgument(
            f"{text!r} is a URL: write the reference without {scheme}://, {rest!r}", field="reference"
        )
    name, at, digest_text = text.partition("@")
    digest = Digest.parse(digest_text, field="reference") if at else None
    registry, repository, tag = _split(name)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _invalid(text, _why_not_tag(tag))
    if _ID.fullmatch(name):
        raise _invalid(text, "64 hex digits are an image's id, not a name")
    if not _REGISTRY.fullmatch(registry):
        raise _invalid(text, f"{registry!r} is not a registry's host[:port]")
    if not _REPOSITORY.fullmatch(repository):
        raise _invalid(text, _why_not_repository(repository))
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = _OFFICIAL + repository
    if len(registry) + 1 + len(repository) > _MAX_NAME:
        raise _invalid(text, f"the name is longer than {_MAX_NAME} characters")
    return Reference(registry, repository, tag or (None if digest else "latest"), digest)


def _split(name: str) -> tuple[str, str, str | None]:
    """Registry, repository and tag. The first part is a registry if it could not be part of a repository."""
    first, slash, rest = name.partition("/")
    is_registry = slash and (any(c in first for c in ".:[") or first == "localhost" or first != first.lower())
    registry, path = (first, rest) if is_registry else (DEFAULT_REGISTRY, name)
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    repository, colon, tag = path.partition(":")
    return registry, repository, tag if colon else None


def check_tag(tag: str, *, field: str = "tag") -> str:
    """`tag`, if it is one. Raises: InvalidArgument."""
    if not _TAG.fullmatch(tag):
        raise InvalidArgument(_why_not_tag(tag), field=field)
    return tag


def check_repository(repository: str, *, field: str = "repository") -> str:
    """`repository`, if it is one: it can be a part of a URL as it is. Raises: InvalidArgument."""
    if not _REPOSITORY.fullmatch(repository) or len(repository) > _MAX_NAME:
        raise InvalidArgument(_why_not_repository(repository[:300]), field=field)
    return repository


def _why_not_tag(tag: str) -> str:
    return f"{tag[:200]!r} is not a tag: letters, digits, '_', '.', '-', at most 128"


def _why_not_repository(repository: str) -> str:
    if not repository:
        return "the repository's name is missing"
    if repository != repository.lower():
        return "a repository's name is lower case"
    return (
        f"{repository!r} is not a repository: lower-case letters and digits, joined by '.', '_', '-' or '/'"
    )


def _invalid(text: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"{text[:300]!r}: {why}", field="reference")
