"""Where a repository is read from: mirrors in their order, then the registry itself, each with a session of its own.

    places = Places("docker.io", configuration, make_session)
    for place in places.of(reference):
        with place.session.send("GET", place.path("manifests", "latest"), scope=place.scope, ...): ...

A mirror that cannot be reached is left out from then on. It is told whose repository is meant (`ns`), and never shown
credentials that were given for the registry.

Spec: distribution-spec spec.md#registry-proxying; containers-registries.conf(5).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import quote

from attrs import frozen

from containerlib.errors import Unavailable
from containerlib.images.registry.configuration.rules import Configuration, Location
from containerlib.images.registry.session import Scope, Session
from containerlib.spec.reference import Reference

__all__ = ["Place", "Places"]


@frozen
class Place:
    """One repository at one registry. `source` is the registry that a mirror stands in for."""

    session: Session
    repository: str
    source: str = ""

    @property
    def scope(self) -> Scope:
        return Scope(self.repository)

    @property
    def name(self) -> str:
        return f"{self.session.name}/{self.repository}"

    def path(self, kind: str, target: str) -> str:
        """The path of a manifest or blob. Spec: spec.md#endpoints"""
        query = f"?ns={quote(self.source, safe='')}" if self.source else ""
        return f"/v2/{self.repository}/{kind}/{target}{query}"


class Places:
    """The sessions of one registry and its mirrors. Safe for several threads at once; owns what it makes."""

    def __init__(self, configuration: Configuration, make: Callable[[Location], Session]) -> None:
        self._configuration = configuration
        self._make = make
        self._sessions: dict[tuple[str, bool | None, bool, str], Session] = {}
        self._others: list[Session] = []
        self._gone: set[Session] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def of(self, reference: Reference) -> list[Place]:
        """Where to read it, the best first. Raises: InvalidArgument(field="reference") where it is blocked."""
        places = []
        for location in self._configuration.locations(reference):
            session = self.session(location)
            if not (location.is_mirror and session in self._gone):
                source = reference.registry if location.is_mirror else ""
                places.append(Place(session, location.repository, source))
        return places

    def session(self, location: Location) -> Session:
        key = (location.registry, location.insecure, location.is_mirror, location.token_server)
        with self._lock:
            if self._stopped:
                raise Unavailable("the requests to this registry were stopped")
            if key not in self._sessions:
                self._sessions[key] = self._make(location)
            return self._sessions[key]

    def adopt(self, session: Session) -> Session:
        """Has it stopped and closed with the others."""
        with self._lock:
            if self._stopped:
                raise Unavailable("the requests to this registry were stopped")
            self._others.append(session)
        return session

    def leave_out(self, place: Place) -> None:
        """Does not come to this mirror any more."""
        self._gone.add(place.session)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            sessions = [*self._sessions.values(), *self._others]
        for session in sessions:
            session.stop()

    def close(self) -> None:
        for session in (*self._sessions.values(), *self._others):
            session.close()
