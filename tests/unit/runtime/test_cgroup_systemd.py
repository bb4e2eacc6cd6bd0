"""What is said to systemd, and what is made of its answers: a bus of the test's own, and no systemd."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import AlreadyExists, InvalidArgument, NotFound, Timeout, Unauthorized, Unavailable
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.path import ScopeName

NAME = ScopeName("libpod-web.scope", "machine-x.slice")
SYSTEMD = "org.freedesktop.systemd1"


jeepney = pytest.importorskip("jeepney", reason="the extra containerlib[systemd] is not installed")

from containerlib.runtime.cgroups.systemd import Manager, Scope, bus_address  # noqa: E402

Answer = Callable[[Any], Any]


class Bus:
    """Listens on a unix socket, speaks for the bus and for systemd, and keeps what it was told."""

    def __init__(self, path: Path) -> None:
        self.path, self.calls = path, []  # type: Path, list[tuple[str, Any]]
        self.errors: dict[str, list[str]] = {}
        self.result = "done"
        self.forged = False
        self.silent: set[str] = set()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"unix:path={self.path}"

    def named(self, name: str) -> list[Any]:
        return [body for member, body in self.calls if member == name]

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        assert connection.recv(100) == b"\0AUTH EXTERNAL\r\nDATA\r\n"
        connection.sendall(b"DATA\r\nOK 1234\r\n")
        data = connection.recv(7)
        assert data == b"BEGIN\r\n"
        parser, serial = jeepney.Parser(), iter(range(1, 10**6))
        while data := connection.recv(4096):
            parser.add_data(data)
            while (message := parser.get_next_message()) is not None:
                for answer in self._answers(message):
                    connection.sendall(answer.serialise(serial=next(serial)))

    def _answers(self, message: Any) -> Iterator[Any]:
        member = message.header.fields[jeepney.HeaderFields.member]
        self.calls.append((member, message.body))
        if member in self.silent:
            return
        if self.errors.get(member):
            yield from_systemd(jeepney.new_error(message, self.errors[member].pop(0), "s", ("because",)))
            return
        if member in ("StartTransientUnit", "StopUnit"):
            job = "/org/freedesktop/systemd1/job/7"
            if self.forged:
                yield job_removed(job, "done", sender=":1.666")
            yield from_systemd(jeepney.new_method_return(message, "o", (job,)))
            yield job_removed("/org/freedesktop/systemd1/job/6", "failed")
            yield job_removed(job, self.result)
        elif member == "Get":
            values = {"Version": "252.4-1", "ControlGroup": "/user.slice/x"}
            value = ("s", values[message.body[1]])
            yield from_systemd(jeepney.new_method_return(message, "v", (value,)))
        elif member == "GetUnit":
            yield from_systemd(jeepney.new_method_return(message, "o", ("/unit/x",)))
        elif member == "Hello":
            yield jeepney.new_method_return(message, "s", (":1.5",))
        else:
            yield from_systemd(jeepney.new_method_return(message))


def from_systemd(message: Any, sender: str = ":1.1") -> Any:
    message.header.fields[jeepney.HeaderFields.sender] = sender
    return message


def job_removed(job: str, result: str, sender: str = ":1.1") -> Any:
    address = jeepney.DBusAddress(
        "/org/freedesktop/systemd1", bus_name=SYSTEMD, interface=f"{SYSTEMD}.Manager"
    )
    return from_systemd(
        jeepney.new_signal(address, "JobRemoved", "uoss", (7, job, "x.scope", result)), sender
    )


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(tmp_path / "bus")
    yield bus
    bus.close()


def manager(bus: Bus, timeout: float = 10.0) -> Manager:
    return Manager(address=bus.address, timeout=timeout)


def test_started_scope_is_asked_for_in_one_message(bus: Bus) -> None:
    Scope(NAME, manager(bus)).start({"pids": {"limit": 5}}, Layout({}, "/cg"), pids=[42])
    ((unit, mode, properties, auxiliary),) = bus.named("StartTransientUnit")
    assert (unit, mode, auxiliary) == ("libpod-web.scope", "fail", [])
    assert dict(properties)["PIDs"] == ("au", [42])
    assert dict(properties)["TasksMax"] == ("t", 5)
    assert dict(properties)["Slice"] == ("s", "machine-x.slice")
    (rule,) = bus.named("AddMatch")
    assert "member='JobRemoved'" in rule[0]
    assert f"sender='{SYSTEMD}'" in rule[0]


def test_scope_has_what_its_containers_annotations_say(bus: Bus) -> None:
    more = [("TimeoutStopUSec", ("t", 5))]
    Scope(NAME, manager(bus), properties=more).start({}, Layout({}, "/cg"), pids=[42])
    ((_, _, properties, _),) = bus.named("StartTransientUnit")
    assert dict(properties)["TimeoutStopUSec"] == ("t", 5)


def test_update_is_for_this_boot_only(bus: Bus) -> None:
    Scope(NAME, manager(bus)).set({"pids": {"limit": 6}}, Layout({}, "/cg"))
    assert bus.named("SetUnitProperties") == [("libpod-web.scope", True, [("TasksMax", ("t", 6))])]


def test_update_of_devices_is_not_added_to_those_that_there_are(bus: Bus) -> None:
    rules = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 3}]
    Scope(NAME, manager(bus)).set({"devices": rules}, Layout({}, "/cg"))
    ((_, _, properties),) = bus.named("SetUnitProperties")
    assert [value for name, (_, value) in properties if name == "DeviceAllow"] == [
        [],
        [("/dev/char/1:3", "rwm")],
    ]


def test_update_of_nothing_that_systemd_keeps_is_not_said(bus: Bus) -> None:
    Scope(NAME, manager(bus)).set({"blockIO": {"weight": 6}}, Layout({}, "/cg"))
    assert bus.named("SetUnitProperties") == []


def test_left_over_of_a_failed_unit_is_cleared_away_once(bus: Bus) -> None:
    bus.errors["StartTransientUnit"] = [f"{SYSTEMD}.UnitExists"]
    with manager(bus) as talk:
        talk.start("x.scope", [])
    assert bus.named("ResetFailedUnit") == [("x.scope",)]
    assert len(bus.named("StartTransientUnit")) == 2
    bus.errors["StartTransientUnit"] = [f"{SYSTEMD}.UnitExists"] * 2
    with manager(bus) as talk, pytest.raises(AlreadyExists, match=r"x\.scope.*because"):
        talk.start("x.scope", [])


def test_stop_of_a_unit_that_is_gone_is_fine(bus: Bus) -> None:
    bus.errors["StopUnit"] = [f"{SYSTEMD}.NoSuchUnit"]
    Scope(NAME, manager(bus)).stop()
    assert bus.named("StopUnit") == [("libpod-web.scope", "replace")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("org.freedesktop.DBus.Error.AccessDenied", Unauthorized),
        ("org.freedesktop.DBus.Error.InvalidArgs", InvalidArgument),
        (f"{SYSTEMD}.NoSuchUnit", NotFound),
        ("org.freedesktop.DBus.Error.NoReply", Unavailable),
    ],
)
def test_refusal_of_systemd_has_its_kind_and_its_words(bus: Bus, name: str, kind: type[Exception]) -> None:
    bus.errors["AttachProcessesToUnit"] = [name]
    with pytest.raises(kind, match="because"):
        Scope(NAME, manager(bus)).attach([5])


def test_job_that_fails_is_unavailable_and_says_where_to_look(bus: Bus) -> None:
    bus.result = "failed"
    with manager(bus) as talk, pytest.raises(Unavailable, match="journalctl"):
        talk.start("x.scope", [])


def test_signal_of_another_than_systemd_is_not_believed(bus: Bus) -> None:
    bus.forged, bus.result = True, "failed"
    with manager(bus) as talk, pytest.raises(Unavailable, match="failed"):
        talk.start("x.scope", [])


def test_systemd_that_does_not_answer_is_a_timeout(bus: Bus) -> None:
    bus.silent.add("GetUnit")
    with manager(bus, timeout=0.1) as talk, pytest.raises(Timeout, match="GetUnit"):
        talk.group("x.scope")


def test_failed_start_lets_the_placeholder_go(bus: Bus) -> None:
    bus.errors["StartTransientUnit"] = ["org.freedesktop.DBus.Error.AccessDenied"]
    scope = Scope(NAME, manager(bus))
    with pytest.raises(Unauthorized):
        scope.start({}, Layout({}, "/cg"))
    ((_, _, properties, _),) = bus.named("StartTransientUnit")
    (pid,) = dict(properties)["PIDs"][1]
    assert not Path(f"/proc/{pid}").exists()


def test_placeholder_waits_until_it_is_let_go(bus: Bus) -> None:
    scope = Scope(NAME, manager(bus))
    scope.start({}, Layout({}, "/cg"))
    ((_, _, properties, _),) = bus.named("StartTransientUnit")
    (pid,) = dict(properties)["PIDs"][1]
    assert Path(f"/proc/{pid}").exists()
    scope.settle()
    assert not Path(f"/proc/{pid}").exists()


def test_version_and_group_are_asked_of_the_manager(bus: Bus) -> None:
    with manager(bus) as talk:
        assert talk.version == 252
        assert talk.control_group == "/user.slice/x"


def test_bus_that_refuses_the_user_is_unavailable(tmp_path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    with server:
        server.bind(str(tmp_path / "bus"))
        server.listen()

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"REJECTED EXTERNAL\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(Unavailable, match="refuses this user"):
            Manager(address=f"unix:path={tmp_path}/bus", timeout=10.0).control_group  # noqa: B018
        thread.join(10)


@pytest.mark.parametrize("address", ["unix:path=/nowhere/bus", "tcp:host=localhost,port=1", "nonsense"])
def test_bus_that_is_not_to_be_reached_is_unavailable(address: str) -> None:
    with pytest.raises(Unavailable, match="cgroupfs"):
        Manager(address=address, timeout=1.0).control_group  # noqa: B018


def test_bus_of_the_system_and_of_the_user_are_found_where_they_are_said_to_be(tmp_path: Path) -> None:
    assert bus_address(user=False, environment={}) == "unix:path=/run/dbus/system_bus_socket"
    assert bus_address(user=False, environment={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/x"}) == "unix:path=/x"
    assert bus_address(user=True, environment={"DBUS_SESSION_BUS_ADDRESS": "unix:path=/y"}) == "unix:path=/y"
    with pytest.raises(Unavailable, match="bus"):
        bus_address(user=True, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    (tmp_path / "bus").touch()
    assert (
        bus_address(user=True, environment={"XDG_RUNTIME_DIR": str(tmp_path)}) == f"unix:path={tmp_path}/bus"
    )


def test_package_that_is_missing_is_named() -> None:
    code = (
        "import sys; sys.modules['jeepney'] = None\n"
        "from containerlib.errors import Unsupported\n"
        "from containerlib.runtime.cgroups.systemd import Manager\n"
        "try: Manager(address='unix:path=/x').version\n"
        "except Unsupported as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "containerlib[systemd]" in done.stdout
