"""systemd's cgroup driver: a container's group is that of a transient scope unit.

    scope = Scope(ScopeName("containerlib-web.scope", "system.slice"))
    scope.start(resources, layout)             # a placeholder process keeps it alive until `settle`
    ...                                        # the container's first process is made in the group
    scope.settle()
    scope.stop()

systemd is asked over D-Bus (jeepney: pure Python, the extra `systemd`), without libsystemd and without a command. The
unit is delegated: systemd leaves the groups below it alone.

Spec: org.freedesktop.systemd1(5); systemd.io/CGROUP_DELEGATION
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from containerlib._sys.helper import Helper
from containerlib.errors import (
    AlreadyExists,
    Error,
    InvalidArgument,
    NotFound,
    StageError,
    Timeout,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.path import ScopeName
from containerlib.runtime.cgroups.systemd_properties import Property, scope_properties, unit_properties

__all__ = ["Manager", "Scope", "bus_address"]

_NAME, _PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_MANAGER = f"{_NAME}.Manager"
_SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
TIMEOUT = 30.0
_KINDS: dict[str, type[Error]] = {
    f"{_NAME}.UnitExists": AlreadyExists,
    f"{_NAME}.NoSuchUnit": NotFound,
    "org.freedesktop.DBus.Error.AccessDenied": Unauthorized,
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": Unauthorized,
    "org.freedesktop.DBus.Error.InvalidArgs": InvalidArgument,
    "org.freedesktop.DBus.Error.PropertyReadOnly": Unsupported,
    "org.freedesktop.DBus.Error.UnknownMethod": Unsupported,
}


class Scope:
    """One unit. Each call has a connection to systemd of its own: none is held while the container runs."""

    def __init__(
        self, name: ScopeName, manager: Manager | None = None, *, properties: Sequence[Property] = ()
    ) -> None:
        """`properties`: more of the unit's, from its container's annotations."""
        self.name, self._properties = name, properties
        self._manager = manager or Manager(user=name.user)
        self._placeholder: tuple[Helper, socket.socket] | None = None

    def start(self, resources: Mapping[str, Any], layout: Layout, pids: Sequence[int] = ()) -> None:
        """Makes the unit, with `pids` in it. Without any, a placeholder is: systemd makes no scope without processes.

        Raises: AlreadyExists, Unauthorized, Unavailable, Unsupported, Timeout, StageError.
        """
        if not pids:
            self._placeholder = _placeholder()
            pids = (_pid_of(self._placeholder[0]),)
        properties = scope_properties(self.name, pids, unified=bool(layout.unified))
        try:
            with self._manager as manager:
                properties += unit_properties(resources, manager.version, unified=bool(layout.unified))
                properties += self._properties
                manager.start(self.name.unit, properties)
        except BaseException:
            self.settle()
            raise

    def settle(self) -> None:
        """Lets the placeholder go: the scope has a process of the container, or is no longer wanted."""
        if self._placeholder:
            helper, control = self._placeholder
            self._placeholder = None
            control.close()  # a helper that is given no plan ends
            helper.reap(5.0)

    def set(self, resources: Mapping[str, Any], layout: Layout) -> None:
        """Tells systemd of new limits, so that it does not write the old ones again. Raises: as `start`."""
        with self._manager as manager:
            properties = unit_properties(resources, manager.version, unified=bool(layout.unified))
            if "DeviceAllow" in dict(properties):  # systemd adds to a list that is not emptied first
                properties = [("DeviceAllow", ("a(ss)", [])), *properties]
            if properties:
                manager.set(self.name.unit, properties)

    def attach(self, pids: Sequence[int], below: str = "") -> None:
        """Has systemd move processes into the scope, or into the group `below` it: where the caller itself may not.

        Raises: as `start`.
        """
        with self._manager as manager:
            manager.attach(self.name.unit, below, pids)

    def group(self) -> str:
        """Its group, from the root of the hierarchy; "" where the unit has none. Raises: as `start`."""
        with self._manager as manager:
            return manager.group(self.name.unit)

    def stop(self) -> None:
        """Ends the unit; one that is gone is fine. Raises: as `start`."""
        self.settle()
        with self._manager as manager, contextlib.suppress(NotFound):
            manager.stop(self.name.unit)


def _placeholder() -> tuple[Helper, socket.socket]:
    """A helper that waits for its plan: a process without any memory of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    helper = Helper(None)
    with theirs:
        try:
            helper.start(theirs.fileno())
        except BaseException:
            ours.close()
            raise
    return helper, ours


def _pid_of(helper: Helper) -> int:
    with open(f"/proc/self/fdinfo/{helper.pidfd}", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == "Pid" and int(value) > 0:
                return int(value)
    raise StageError("cgroup", 3, "the placeholder of a systemd scope")  # ESRCH


def bus_address(*, user: bool, environment: Mapping[str, str] | None = None) -> str:
    """Of the bus on which systemd's system or user manager listens. Raises: Unavailable.

    Spec: D-Bus Specification, "Well-known Message Bus Instances"; file-hierarchy(7) on $XDG_RUNTIME_DIR
    """
    environment = os.environ if environment is None else environment
    if not user:
        return environment.get("DBUS_SYSTEM_BUS_ADDRESS") or _SYSTEM_BUS
    if address := environment.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    directory = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if not os.path.exists(f"{directory}/bus"):  # noqa: PTH110
        raise Unavailable(
            f"systemd's user manager is not to be reached: there is no {directory}/bus and no "
            "DBUS_SESSION_BUS_ADDRESS; log in anew (loginctl enable-linger), or use the cgroupfs driver"
        )
    return f"unix:path={directory}/bus"


class Manager:
    """systemd's manager over the bus at `address`; leaving it as a context closes the connection. For one thread.

    Every method raises Unavailable without systemd or bus, Unsupported without jeepney, Unauthorized, Timeout, and
    what `_KINDS` says for systemd's own errors.
    """

    def __init__(self, *, user: bool = False, address: str | None = None, timeout: float = TIMEOUT) -> None:
        self._user, self._address, self._timeout = user, address, timeout
        self._connection: Any = None
        self._owner = ""
        self._version: int | None = None

    @property
    def version(self) -> int:
        """252, of "v252.4-1~deb12u1"."""
        if self._version is None:
            digits = str(self._property(_PATH, _MANAGER, "Version")).lstrip("v")
            number = "".join(iter_digits(digits))
            self._version = int(number or 0)
        return self._version

    @property
    def control_group(self) -> str:
        """The group that all its units are below: "" for the system's on the host."""
        return str(self._property(_PATH, _MANAGER, "ControlGroup"))

    def start(self, unit: str, properties: Sequence[Property]) -> None:
        """Makes a transient unit and waits until it runs; a failed one of that name is cleared away first."""
        body: tuple[Any, ...] = (unit, "fail", list(properties), [])
        try:
            result = self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", body)
        except AlreadyExists:
            with contextlib.suppress(NotFound):
                self._call("ResetFailedUnit", "s", (unit,))
            result = self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", body)
        if result != "done":
            raise Unavailable(f"systemd did not start {unit}: {result}; see journalctl -u {unit}")

    def set(self, unit: str, properties: Sequence[Property]) -> None:
        self._call("SetUnitProperties", "sba(sv)", (unit, True, list(properties)))

    def attach(self, unit: str, below: str, pids: Sequence[int]) -> None:
        self._call("AttachProcessesToUnit", "ssau", (unit, below, list(pids)))

    def group(self, unit: str) -> str:
        (path,) = self._call("GetUnit", "s", (unit,))
        return str(self._property(path, f"{_NAME}.Scope", "ControlGroup"))

    def stop(self, unit: str) -> None:
        """Waits until it has stopped; what is left of a failed unit goes too."""
        self._job("StopUnit", "ss", (unit, "replace"))
        with contextlib.suppress(NotFound):
            self._call("ResetFailedUnit", "s", (unit,))

    def __enter__(self) -> Manager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _property(self, path: str, interface: str, name: str) -> Any:
        ((_, value),) = self._call(
            "Get", "ss", (interface, name), path=path, interface="org.freedesktop.DBus.Properties"
        )
        return value

    def _job(self, method: str, signature: str, body: tuple[Any, ...]) -> str:
        """Calls what starts a job, and waits for its result: "done", or why not."""
        jeepney = _library()

        connection = self._connected()
        rule = jeepney.MatchRule(type="signal", interface=_MANAGER, member="JobRemoved", path=_PATH)
        removed: collections.deque[Any] = collections.deque()
        self._call("AddMatch", "s", (f"{rule.serialise()},sender='{_NAME}'",), bus=True)
        with connection.filter(rule, queue=removed), self._subscribed():
            (job,) = self._call(method, signature, body)
            limit = time.monotonic() + self._timeout
            with self._in_time(f"{method} {body[0]}"):
                while True:
                    message = connection.recv_until_filtered(removed, timeout=limit - time.monotonic())
                    _, path, _, result = message.body
                    if path == job and _sender(message) == self._owner:
                        return str(result)

    @contextlib.contextmanager
    def _subscribed(self) -> Iterator[None]:
        with contextlib.suppress(Error):  # once is enough for a connection
            self._call("Subscribe")
        yield

    def _call(
        self,
        method: str,
        signature: str | None = None,
        body: tuple[Any, ...] = (),
        *,
        path: str = _PATH,
        interface: str = _MANAGER,
        bus: bool = False,
    ) -> Any:
        connection = self._connected()
        jeepney = _library()

        where = ("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
        at, name, words = where if bus else (path, _NAME, interface)
        address = jeepney.DBusAddress(at, bus_name=name, interface=words)
        message = jeepney.new_method_call(address, method, signature, body)
        with self._in_time(method):
            reply = connection.send_and_get_reply(message, timeout=self._timeout)
        if reply.header.message_type is jeepney.MessageType.error:
            raise _refusal(method, body, reply)
        if not bus:
            self._owner = _sender(reply)
        return reply.body

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = _connect(self._address or bus_address(user=self._user), self._timeout)
        return self._connection

    @contextlib.contextmanager
    def _in_time(self, what: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            self.close()
            raise Timeout(f"systemd did not answer {what} within {self._timeout} s") from error
        except OSError as error:
            self.close()
            raise Unavailable(f"the connection to systemd broke in {what}: {error}") from error


def iter_digits(text: str) -> Iterator[str]:
    """The digits that `text` begins with."""
    for character in text:
        if not character.isdigit():
            return
        yield character


def _library(name: str = "jeepney") -> Any:
    """An extra, which is loaded for this driver only. Raises: ImportError."""
    return importlib.import_module(name)


def _connect(address: str, timeout: float) -> Any:
    try:
        addresses = _library("jeepney.bus").get_connectable_addresses(address)
        connection_type = _library("jeepney.io.blocking").DBusConnection
    except ImportError as error:
        raise Unsupported(
            "the systemd cgroup driver needs the package jeepney: pip install containerlib[systemd]; or use the "
            "cgroupfs driver"
        ) from error
    failure: Exception | None = None
    try:
        for path in addresses:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(timeout)
                connection.connect(path)
                _authenticate(connection)
                return connection_type(connection)
            except (OSError, ConnectionError) as error:
                connection.close()
                failure = error
    except (RuntimeError, ValueError) as error:  # an address of a kind that is not known
        failure = error
    raise Unavailable(
        f"systemd is not to be reached at {address}: {failure}; is it this machine's init, and is dbus running? "
        "Or use the cgroupfs driver"
    ) from failure


def _authenticate(connection: socket.socket) -> None:
    """Without a word of who asks: the bus sees that in the socket's credentials, also from within a user namespace.

    Spec: D-Bus Specification, "EXTERNAL Authentication"
    """
    connection.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\n")
    answer = b""
    while answer.count(b"\r\n") < 2 and not answer.startswith(b"REJECTED"):
        received = connection.recv(512)
        if not received:
            break
        answer += received
    if not answer.split(b"\r\n")[1:2] or not answer.split(b"\r\n")[1].startswith(b"OK"):
        raise ConnectionError(f"the bus refuses this user: {answer.decode(errors='replace').strip()}")
    connection.sendall(b"BEGIN\r\n")


def _sender(message: Any) -> str:
    """The connection that a message is from, as the bus says: nobody else can speak for systemd."""
    fields = _library().HeaderFields

    return str(message.header.fields.get(fields.sender, ""))


def _refusal(method: str, body: tuple[Any, ...], reply: Any) -> Error:
    fields = _library().HeaderFields

    name = str(reply.header.fields.get(fields.error_name, ""))
    text = str(reply.body[0]) if reply.body else name
    subject = f" {body[0]}" if body and isinstance(body[0], str) else ""
    return _KINDS.get(name, Unavailable)(f"systemd refuses {method}{subject}: {text} ({name})")
