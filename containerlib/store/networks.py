"""Networks, and the addresses in them that containers have."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from containerlib.errors import AlreadyExists, Conflict, NotFound
from containerlib.store.database import Database

__all__ = ["EndpointRecord", "NetworkRecord", "NetworkTable"]


@frozen
class NetworkRecord:
    """`settings`: what its driver made of the options, for `networking` to read."""

    id: str
    name: str
    driver: str
    settings: Mapping[str, Any]
    labels: tuple[tuple[str, str], ...]
    created_at: datetime


@frozen
class EndpointRecord:
    """A container's place in a network. `addresses`: of each family one at most; `names`: beside its own."""

    network_id: str
    container_id: str
    device: str
    """The network device on the host's side."""
    interface: str
    """The one in the container."""
    mac: str
    addresses: tuple[str, ...]
    names: tuple[str, ...]
    ports: Sequence[Mapping[str, Any]]


class NetworkTable:
    """Records by name or id, and who is connected."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: NetworkRecord) -> None:
        """Raises: AlreadyExists."""
        row = (
            record.id,
            record.name,
            record.driver,
            json.dumps(dict(record.settings)),
            json.dumps(dict(record.labels)),
            record.created_at.timestamp(),
        )
        try:
            self._database.execute("INSERT INTO networks VALUES (?,?,?,?,?,?)", row)
        except sqlite3.IntegrityError as error:
            raise AlreadyExists(f"there is a network {record.name!r} already") from error

    def get(self, name: str) -> NetworkRecord:
        """By its name, its id or the beginning of that. Raises: NotFound."""
        rows = self._database.query(
            "SELECT * FROM networks WHERE name = ?1 OR id = ?1 OR (length(?1) >= 12 AND substr(id, 1, length(?1)) = ?1)"
            " ORDER BY name = ?1 DESC LIMIT 1",
            (name,),
        )
        if not rows:
            raise NotFound(f"there is no network {name!r}: create it, or see the list of networks")
        return _network(rows[0])

    def list(self) -> Sequence[NetworkRecord]:
        """Every record, by name."""
        return [_network(row) for row in self._database.query("SELECT * FROM networks ORDER BY name")]

    def remove(self, network_id: str) -> None:
        """Raises: NotFound; Conflict where containers are connected."""
        with self._database.transaction():
            users = self.endpoints(network_id)
            if users:
                raise Conflict(
                    f"{len(users)} containers are connected: disconnect or remove them first", state="in use"
                )
            if not self._database.execute("DELETE FROM networks WHERE id = ?", (network_id,)):
                raise NotFound("the network has been removed already")

    def connect(self, endpoint: EndpointRecord) -> None:
        """In the transaction in which its addresses were chosen. Raises: AlreadyExists."""
        row = (
            endpoint.network_id,
            endpoint.container_id,
            endpoint.device,
            endpoint.interface,
            endpoint.mac,
            json.dumps(endpoint.names),
            json.dumps([dict(port) for port in endpoint.ports]),
        )
        try:
            self._database.execute("INSERT INTO endpoints VALUES (?,?,?,?,?,?,?)", row)
            for address in endpoint.addresses:
                self._database.execute(
                    "INSERT INTO addresses VALUES (?,?,?)",
                    (endpoint.network_id, address, endpoint.container_id),
                )
        except sqlite3.IntegrityError as error:
            raise AlreadyExists("it is connected to that network already") from error

    def disconnect(self, network_id: str, container_id: str) -> None:
        """Raises: NotFound."""
        if not self._database.execute(
            "DELETE FROM endpoints WHERE network_id = ? AND container_id = ?", (network_id, container_id)
        ):
            raise NotFound("it is not connected to that network")

    def set_ports(self, endpoint: EndpointRecord, ports: Sequence[Mapping[str, Any]]) -> None:
        """What its published ports have come to."""
        self._database.execute(
            "UPDATE endpoints SET ports = ? WHERE network_id = ? AND container_id = ?",
            (json.dumps([dict(port) for port in ports]), endpoint.network_id, endpoint.container_id),
        )

    def set_addresses(self, endpoint: EndpointRecord, addresses: Sequence[str]) -> None:
        """What somebody else has given it. Raises: Conflict for one that another has."""
        place = (endpoint.network_id, endpoint.container_id)
        with self._database.transaction():
            self._database.execute("DELETE FROM addresses WHERE network_id = ? AND container_id = ?", place)
            for address in addresses:
                try:
                    self._database.execute(
                        "INSERT INTO addresses VALUES (?,?,?)", (place[0], address, place[1])
                    )
                except sqlite3.IntegrityError as error:
                    raise Conflict(f"{address} is another container's", state="in use") from error

    def endpoints(self, network_id: str) -> Sequence[EndpointRecord]:
        """Who is connected to it, in order of their addresses."""
        return self._endpoints("network_id", network_id)

    def endpoints_of(self, container_id: str) -> Sequence[EndpointRecord]:
        """What the container is connected to, in order of its interfaces."""
        return self._endpoints("container_id", container_id)

    def taken(self, network_id: str) -> frozenset[str]:
        """Addresses that containers have."""
        rows = self._database.query("SELECT address FROM addresses WHERE network_id = ?", (network_id,))
        return frozenset(row[0] for row in rows)

    def _endpoints(self, column: str, key: str) -> Sequence[EndpointRecord]:
        rows = self._database.query(
            f"SELECT * FROM endpoints WHERE {column} = ? ORDER BY length(interface), interface, container_id",  # noqa: S608 - ours
            (key,),
        )
        addresses: dict[tuple[str, str], list[str]] = {}
        for network_id, address, container_id in self._database.query(
            f"SELECT * FROM addresses WHERE {column} = ?",  # noqa: S608
            (key,),
        ):
            addresses.setdefault((network_id, container_id), []).append(address)
        return [
            EndpointRecord(
                row[0],
                row[1],
                row[2],
                row[3],
                row[4],
                tuple(sorted(addresses.get((row[0], row[1]), ()), key=lambda text: (":" in text, text))),
                tuple(json.loads(row[5])),
                tuple(json.loads(row[6])),
            )
            for row in rows
        ]


def _network(row: tuple[Any, ...]) -> NetworkRecord:
    labels = tuple(sorted(json.loads(row[4]).items()))
    return NetworkRecord(
        row[0], row[1], row[2], json.loads(row[3]), labels, datetime.fromtimestamp(row[5], UTC)
    )
