"""Contenders whose containers are on networks: each on a host's network of its own, with another machine on a wire.

with podman(bench) as contender:
    contender.start_on(NETWORK, "web", "sleep", "1000", ports=(80,))            # seconds
    contender.printed("web", "ip", "address")
    contender.outside.run("nc", PUBLIC, "80")

A port is published as the same number.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import containerlib as cl
from benchmarks.bench import Bench
from benchmarks.ending import prefix
from benchmarks.hosts import Host, join
from benchmarks.measure import Skip, timed
from benchmarks.peers import Docker, Podman
from benchmarks.runner import Runner
from benchmarks.traffic import TAG, traffic_archive

__all__ = ["DEFAULT", "NETWORK", "NONE", "PUBLIC", "Contender", "container_name", "contenders", "ours"]

PUBLIC = "198.51.100.1"
"""The host's address, as the other machine knows it."""
NONE, DEFAULT, NETWORK = "none", "", "benchmark"
"""No network, the one that a container has by itself, and one that was made."""


class Contender(Protocol):
    host: Host
    outside: Host

    def start_on(self, network: str, name: str, *argv: str, ports: Sequence[int] = ()) -> float: ...
    def printed(self, name: str, *argv: str) -> str: ...
    def connect(self, name: str) -> float: ...
    def disconnect(self, name: str) -> float: ...
    def remove(self, name: str) -> object: ...


class Ours:
    def __init__(self, engine: cl.Engine, host: Host, outside: Host) -> None:
        self.engine = engine
        self.host = host
        self.outside = outside
        (self._image,) = engine.images.list()
        self._network = engine.network(NETWORK).create()

    def start_on(self, network: str, name: str, *argv: str, ports: Sequence[int] = ()) -> float:
        recipe = self.engine.container(self._image).name(name)
        if network == NETWORK:
            recipe = recipe.join(self._network)
        for port in ports:
            recipe = recipe.publish(port, host=port)
        return timed(lambda: recipe.start(*argv))()

    def printed(self, name: str, *argv: str) -> str:
        try:
            return self._container(name).exec(*argv).text
        except cl.ExitError as error:
            raise Skip(f"{argv[0]}: {error}") from error

    def connect(self, name: str) -> float:
        container = self._container(name)
        return timed(lambda: self._network.connect(container))()

    def disconnect(self, name: str) -> float:
        container = self._container(name)
        return timed(lambda: self._network.disconnect(container))()

    def remove(self, name: str) -> None:
        self._container(name).remove(force=True)

    def _container(self, name: str) -> cl.Container:
        return self.engine.containers.get(name)

    def close(self) -> None:
        """Ends the containers, then what they were on."""
        for container in self.engine.containers.list():
            container.remove(force=True)
        for network in self.engine.networks.list():
            network.remove()
        self.engine.close()


class OnNetworks:
    """What podman's and docker's command lines have in common."""

    host: Host
    outside: Host
    _runner: Runner
    _command: Sequence[str]
    _limits: Sequence[str] = ()

    def _call(self, *arguments: str) -> float:
        raise NotImplementedError

    def start_on(self, network: str, name: str, *argv: str, ports: Sequence[int] = ()) -> float:
        on = ("--network", network) if network else ()
        published = (word for port in ports for word in ("--publish", f"{port}:{port}"))
        return self._call("run", "--detach", "--name", name, *on, *published, *self._limits, TAG, *argv)

    def printed(self, name: str, *argv: str) -> str:
        answer = self._runner.run(*self._command, "exec", name, *argv, check=False)
        if answer.code != 0:
            raise Skip(" ".join(answer.output.strip().splitlines()[-1:]))
        return answer.output

    def connect(self, name: str) -> float:
        return self._call("network", "connect", NETWORK, name)

    def disconnect(self, name: str) -> float:
        return self._call("network", "disconnect", NETWORK, name)

    def prepare(self, bench: Bench, host: Host, outside: Host) -> None:
        self.host = host
        self.outside = outside
        self._call("load", "--input", str(traffic_archive(bench.directory)))
        self._call("network", "create", NETWORK)


class NetworkedPodman(Podman, OnNetworks):
    pass


class NetworkedDocker(Docker, OnNetworks):
    NETWORK = ()


@contextlib.contextmanager
def hosts(bench: Bench) -> Iterator[tuple[Host, Host, Path]]:
    """A host, a machine beside it, and a directory."""
    with ExitStack() as stack:
        # short, since sockets are in it
        directory = Path(tempfile.mkdtemp(dir=bench.directory, prefix="host-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        host, outside = Host(), Host()
        stack.callback(host.close)
        stack.callback(outside.close)
        join(host, f"{PUBLIC}/24", outside, "198.51.100.2/24")
        yield host, outside, directory


@contextlib.contextmanager
def ours(bench: Bench) -> Iterator[Ours]:
    with hosts(bench) as (host, outside, directory), host.entered():
        engine = cl.Engine(root=directory / "root")
        try:
            engine.images.load(traffic_archive(bench.directory))
            contender = Ours(engine, host, outside)
        except BaseException:
            engine.close()
            raise
        try:
            yield contender
        finally:
            contender.close()


@contextlib.contextmanager
def podman(bench: Bench) -> Iterator[NetworkedPodman]:
    """Its network plug-ins keep state on the host: they see directories of their own there."""
    places = [path for path in ("/run", "/var/lib", "/etc/cni") if Path(path).is_dir()]
    prepare = "; ".join(f"mount -t tmpfs tmpfs {path}" for path in places)
    with hosts(bench) as (host, outside, directory), ExitStack() as stack:
        runner = Runner(host.enter, prepare)
        stack.callback(runner.close)
        options = ("--network-config-dir", str(directory / "networks"))
        peer = NetworkedPodman(runner, directory / "podman", bench.cgroup, options=options)
        stack.callback(peer.close)
        peer.prepare(bench, host, outside)
        yield peer


@contextlib.contextmanager
def docker(bench: Bench) -> Iterator[NetworkedDocker]:
    with hosts(bench) as (host, outside, directory), ExitStack() as stack:
        runner = Runner(host.enter)
        stack.callback(runner.close)
        peer = NetworkedDocker(runner, directory / "docker", bench.cgroup)
        stack.callback(peer.close)
        peer.prepare(bench, host, outside)
        yield peer


CONTENDERS: dict[str, Callable[[Bench], contextlib.AbstractContextManager[Contender]]] = {
    "containerlib": ours,
    "podman": podman,
    "docker": docker,
}


@contextlib.contextmanager
def contenders(bench: Bench) -> Iterator[tuple[dict[str, Contender], dict[str, str]]]:
    """Those that work here, and why the others do not."""
    found: dict[str, Contender] = {}
    notes: dict[str, str] = {}
    with ExitStack() as stack:
        for name, make in CONTENDERS.items():
            try:
                found[name] = stack.enter_context(make(bench))
            except Skip as skip:
                notes[name] = str(skip)
        yield found, notes


def container_name(number: int | str) -> str:
    return f"{prefix()}-{number}"
