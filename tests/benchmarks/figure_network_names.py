"""How soon a container has the address of another one's name, by a question over a socket that it has already."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.measure import Row, Sample, Skip, in_turns
from benchmarks.peers_networks import NETWORK, Contender, container_name, contenders
from benchmarks.traffic import seconds

LATE = 0.001
QUESTIONS = 500
ASKED, ASKING = container_name("asked"), container_name("asking")


def measure(bench: Bench) -> Iterator[Row]:
    figure = "answer of a container's name"
    samples: dict[str, Sample] = {}
    with contenders(bench) as (found, notes):
        for name, contender in found.items():
            try:
                samples[name] = ask(contender)
            except Skip as skip:
                notes[name] = f"does not know names of containers here: {skip}"
        medians = in_turns(samples, bench.rounds)
    ours, note = medians.get("containerlib"), notes.get("containerlib", "")
    yield Row(figure, "1 ms", ours, LATE, "us", limit=1.0, note=note)
    for name in ("docker", "podman"):
        yield Row(figure, name, ours, medians.get(name), "us", note=notes.get(name, note))


def ask(contender: Contender) -> Sample:
    for name in (ASKED, ASKING):
        contender.start_on(NETWORK, name, "sleep", "1000")

    def sample() -> float:
        return seconds(contender.printed(ASKING, "traffic", "ask", ASKED, str(QUESTIONS)))

    sample()
    return sample
