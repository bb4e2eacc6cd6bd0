"""What a network with a published port adds to a container's start; the same difference of podman and docker."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.measure import Row, Sample, in_turns
from benchmarks.peers_networks import DEFAULT, NONE, Contender, container_name, contenders

LATE = 0.003
PORT = 8080


def measure(bench: Bench) -> Iterator[Row]:
    figure = "start with a network and a port, beyond none"
    with contenders(bench) as (found, notes):
        samples: dict[str, Sample] = {}
        for name, contender in found.items():
            samples[f"{name} none"] = start(contender, NONE, ())
            samples[f"{name} network"] = start(contender, DEFAULT, (PORT,))
        medians = in_turns(samples, bench.rounds)
    added = {name: medians[f"{name} network"] - medians[f"{name} none"] for name in found}
    ours, note = added.get("containerlib"), notes.get("containerlib", "")
    yield Row(figure, "3 ms", ours, LATE, limit=1.0, note=note)
    for name in ("podman", "docker"):
        yield Row(figure, name, ours, added.get(name), limit=1.0, note=notes.get(name, note))


def start(contender: Contender, network: str, ports: tuple[int, ...]) -> Sample:
    def sample() -> float:
        name = container_name("start")
        taken = contender.start_on(network, name, "sleep", "1000", ports=ports)
        contender.remove(name)
        return taken

    return sample
