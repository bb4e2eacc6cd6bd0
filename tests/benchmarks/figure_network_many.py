"""Many containers on one network, each with a published port: what the last start costs against the first, and whether
packets are slower for it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.figure_network_speed import serve, stream
from benchmarks.measure import Row, Sample
from benchmarks.peers_networks import NETWORK, Contender, container_name, ours

FIRST_PORT = 20000


def measure(bench: Bench) -> Iterator[Row]:
    many, turns = bench.containers, max(1, bench.rounds // 3)
    with ours(bench) as contender:
        speed = stream(*serve(contender))
        begun = start_and_remove(contender)
        begun()
        alone, fast = taken(begun, bench.rounds), taken(speed, turns)
        for number in range(many):
            start(contender, number)
        among, slow = taken(begun, bench.rounds), taken(speed, turns)
        for number in range(many):
            contender.remove(container_name(number))
        fast += taken(speed, turns)  # again: the machine may be busier by now
    median = statistics.median
    yield Row(f"start beside {many} on a network", "beside none", median(among), median(alone), limit=1.3)
    beside = f"throughput beside {many} containers"
    yield Row(beside, "beside none", median(slow), median(fast), "Gbit/s", least=0.95)


def start(contender: Contender, number: int) -> float:
    return contender.start_on(NETWORK, container_name(number), "sleep", "10000", ports=(FIRST_PORT + number,))


def start_and_remove(contender: Contender) -> Sample:
    def sample() -> float:
        seconds = start(contender, -1)
        contender.remove(container_name(-1))
        return seconds

    return sample


def taken(sample: Sample, count: int) -> list[float]:
    return [sample() for _ in range(count)]
