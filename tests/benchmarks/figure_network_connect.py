"""A running container is put on a network, and taken off it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.measure import Row, Sample, in_turns
from benchmarks.peers_networks import DEFAULT, NETWORK, Contender, container_name, contenders

LATE = 0.005
NAME = container_name("connected")
PORT = 8080


def measure(bench: Bench) -> Iterator[Row]:
    figure = "connect and disconnect a running container"
    with contenders(bench) as (found, notes):
        for contender in found.values():
            contender.start_on(NETWORK, container_name("other"), "sleep", "1000")
            contender.start_on(DEFAULT, NAME, "sleep", "1000", ports=(PORT,))
        medians = in_turns({name: there_and_back(one) for name, one in found.items()}, bench.rounds)
    ours, note = medians.get("containerlib"), notes.get("containerlib", "")
    yield Row(figure, "5 ms", ours, LATE, limit=1.0, note=note)
    for name in ("podman", "docker"):
        yield Row(figure, name, ours, medians.get(name), limit=1.0, note=notes.get(name, note))


def there_and_back(contender: Contender) -> Sample:
    return lambda: contender.connect(NAME) + contender.disconnect(NAME)
