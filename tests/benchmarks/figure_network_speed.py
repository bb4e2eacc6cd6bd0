"""How fast bytes come, and how soon an answer: from container to container, and to a published port, from another
machine and from the host's loopback; against two namespaces that a wire joins, and against podman and docker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.hosts import Host, join
from benchmarks.measure import Row, Sample, Skip, in_turns
from benchmarks.peers_networks import NETWORK, PUBLIC, Contender, container_name, contenders
from benchmarks.traffic import bits_per_second, iperf3, seconds, traffic_program

BARE = "bare veth"
IPERF, ECHO = 5201, 7000
SECONDS = 1.0
"""Of each turn's stream."""
ROUND_TRIPS = 5000
SERVER, CLIENT = container_name("server"), container_name("client")
SERVE = ("sh", "-c", f"iperf3 --server --port {IPERF} >/dev/null & exec traffic serve {ECHO}")
Talk = Callable[..., str]
"""Runs a client's command, and returns what it prints."""


def measure(bench: Bench) -> Iterator[Row]:
    with contenders(bench) as (found, notes), bare(bench) as bare_talk:
        inside: dict[str, tuple[Talk, str]] = {BARE: (bare_talk, "192.0.2.1")}
        outside, loopback = dict(inside), dict(inside)
        for name, contender in list(found.items()):
            try:
                inside[name] = serve(contender)
            except Skip as skip:
                notes[name] = str(skip)
                continue
            outside[name] = (within(contender.outside, bench), PUBLIC)
            loopback[name] = (within(contender.host, bench), "127.0.0.1")
        for way, ends, goals in (
            ("container to container", inside, {"least": {BARE: 0.85}, "limit": {BARE: 1.3}}),
            ("published port", outside, {"least": {"docker": 1.2}, "limit": {}}),
            ("published port by loopback", loopback, {"least": {"docker": 1.2}, "limit": {}}),
        ):
            speeds = {name: stream(*end) for name, end in ends.items()}
            for row in rows(f"throughput, {way}", speeds, bench.rounds // 3, notes):
                yield replace(row, unit="Gbit/s", least=goals["least"].get(row.peer))
            trips = {name: round_trip(*end) for name, end in ends.items()}
            for row in rows(f"round trip, {way}", trips, bench.rounds, notes):
                yield replace(row, unit="us", limit=goals["limit"].get(row.peer))


def rows(figure: str, samples: Mapping[str, Sample], rounds: int, notes: Mapping[str, str]) -> Iterator[Row]:
    """Of those that work, which is tried first."""
    working, why = {}, dict(notes)
    for name, sample in samples.items():
        try:
            sample()
        except Skip as skip:
            why[name] = str(skip)
        else:
            working[name] = sample
    medians = in_turns(working, max(1, rounds), warm_up=0)
    for name in (BARE, "docker", "podman"):
        note = why.get(name, why.get("containerlib", ""))
        yield Row(figure, name, medians.get("containerlib"), medians.get(name), note=note)


def stream(talk: Talk, address: str) -> Sample:
    return lambda: bits_per_second(talk(*iperf3(address, IPERF, SECONDS)))


def round_trip(talk: Talk, address: str) -> Sample:
    return lambda: seconds(talk("traffic", "ping", address, str(ECHO), str(ROUND_TRIPS)))


def serve(contender: Contender) -> tuple[Talk, str]:
    """What runs a command in the client, and the server's address; both are on one network."""
    contender.start_on(NETWORK, SERVER, *SERVE, ports=(IPERF, ECHO))
    contender.start_on(NETWORK, CLIENT, "sleep", "10000")
    shown = contender.printed(SERVER, "ip", "-4", "-o", "address", "show", "dev", "eth0")
    address = shown.split()[3].partition("/")[0]
    contender.printed(CLIENT, "traffic", "ping", address, str(ECHO), "1")  # once both servers are there
    return lambda *argv: contender.printed(CLIENT, *argv), address


def within(host: Host, bench: Bench) -> Talk:
    """The same programs on a machine."""
    program = str(traffic_program(bench.directory))
    return lambda *argv: host.run(*(program if word == "traffic" else word for word in argv))


@contextmanager
def bare(bench: Bench) -> Iterator[Talk]:
    with ExitStack() as stack:
        server, client = Host(), Host()
        stack.callback(server.close)
        stack.callback(client.close)
        join(server, "192.0.2.1/24", client, "192.0.2.2/24")
        for command in (
            ("iperf3", "--server", "--port", str(IPERF)),
            (str(traffic_program(bench.directory)), "serve", str(ECHO)),
        ):
            process = server.serve(*command)
            stack.callback(process.wait)
            stack.callback(process.kill)
        talk = within(client, bench)
        talk("traffic", "ping", "192.0.2.1", str(ECHO), "1")
        yield talk
