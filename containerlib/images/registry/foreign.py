"""Layers that a registry may not keep, from where their descriptors say.

An image's author chose these URLs, so they are asked without credentials, over https alone, and nowhere where only this
machine can go; the digest says whether what comes is right.

Spec: image-spec descriptor.md#properties, layer.md#non-distributable-layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from containerlib.errors import Error, InvalidArgument, NotFound, RegistryError
from containerlib.images.registry.blobs import Blob
from containerlib.images.registry.hosts import is_link_local, split_url
from containerlib.images.registry.session import Scope, Session
from containerlib.spec.descriptor import Descriptor

__all__ = ["foreign_blobs"]

_MAX_URLS = 8


def foreign_blobs(
    descriptor: Descriptor, connect: Callable[[str], Session]
) -> Iterator[tuple[Blob, AbstractContextManager[None]]]:
    """The blob at each of its URLs, and what its use is wrapped in: only the last one's error is raised.

    `connect` makes a session without credentials for `host[:port]`.

    Raises: RegistryError(code="MALFORMED") for a URL that is not followed.
    """
    urls = descriptor.urls[:_MAX_URLS]
    for url in urls:
        session = connect(_host(url))
        what = f"the foreign layer {descriptor.digest}"
        blob = Blob(session, url, Scope(""), descriptor.size, what)
        yield blob, _passing(last=url == urls[-1])


@contextmanager
def _passing(*, last: bool) -> Iterator[None]:
    try:
        yield
    except (NotFound, RegistryError, Error):
        if last:
            raise


def _host(url: str) -> str:
    try:
        parts = split_url(url)
    except InvalidArgument as error:
        raise RegistryError(
            f"the layer's address {url[:200]!r} is not followed: it is no URL", code="MALFORMED"
        ) from error
    why = ""
    if parts.scheme != "https" or not parts.hostname:
        why = "it is not https"
    elif parts.username is not None:
        why = "it has a user name in it"
    elif is_link_local(parts.hostname):
        why = "it is a link-local address"
    if why:
        raise RegistryError(f"the layer's address {url[:200]!r} is not followed: {why}", code="MALFORMED")
    return parts.netloc
