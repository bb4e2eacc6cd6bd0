"""redis with 1 GB of data, and a client: the pause that it sees while a checkpoint is made, and the way of that on.

As files, beside runc's on a disk and in memory; as what can be sent, beside podman's archive and its image. That image
is pushed, pulled into another store, and restored. A pause is the longest that the client waited for an answer.

BENCH_KEYS is how many keys of 1000 bytes there are.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import count

from benchmarks.bench import Bench
from benchmarks.measure import Row, Sample, Skip, in_turns
from benchmarks.peers_checkpoints import Client, Ours, PodmanRedis, Runc, contenders
from containerlib.errors import Unsupported
from containerlib.runtime.checkpoint import find_criu
from rig.registry import Registry

OURS, LAZY = "containerlib", "containerlib, lazy"
Paused = Mapping[str, tuple[Callable[[], float], Client]]
_numbers = count()


def measure(bench: Bench) -> Iterator[Row]:
    try:
        find_criu()
    except Unsupported as error:
        raise Skip(str(error)) from error
    for program in ("docker-registry", "redis-server", "redis-cli", "nsenter"):
        if shutil.which(program) is None:
            raise Skip(f"no {program}: install it")
    keys = int(os.environ.get("BENCH_KEYS", "1000000"))
    rounds = max(1, min(bench.rounds // 5, 3))
    with contenders(bench, keys) as (ours, runc, podman):
        yield from _dumps(ours, runc, rounds)
        yield from _images(ours, podman, rounds)
        with ExitStack() as stack:
            yield from _sent(ours, podman, rounds, partial(_registry, bench, stack))
        yield from _restores(ours, runc, podman, rounds)


def _dumps(ours: Ours, runc: Runc, rounds: int) -> Iterator[Row]:
    samples: Paused = {
        OURS: (ours.dump, ours.client),
        "runc checkpoint, on the disk": (partial(runc.dump, "disk"), runc.client),
        "runc checkpoint, on a tmpfs": (partial(runc.dump, "tmpfs"), runc.client),
    }
    yield from _paused("redis: dump", samples, rounds)


def _images(ours: Ours, podman: PodmanRedis, rounds: int) -> Iterator[Row]:
    samples: Paused = {
        OURS: (ours.checkpoint, ours.client),
        "podman checkpoint --export, zstd": (podman.export, podman.client),
        "podman checkpoint --create-image": (podman.checkpoint, podman.client),
    }
    yield from _paused("redis: image", samples, rounds)


def _registry(bench: Bench, stack: ExitStack) -> Registry:
    return stack.enter_context(Registry(bench.directory / f"redis-registry-{next(_numbers)}"))


def _sent(ours: Ours, podman: PodmanRedis, rounds: int, fresh: Callable[[], Registry]) -> Iterator[Row]:
    """Each push to a registry that has nothing. podman compresses then, and not before."""
    registries: dict[str, Registry] = {}

    def pushed(name: str, push: Callable[[str], float]) -> float:
        if name in registries:
            registries[name].close()
        registries[name] = fresh()
        os.sync()
        return push(registries[name].reference("redis"))

    samples: dict[str, Sample] = {
        OURS: partial(pushed, OURS, ours.push),
        "podman push": partial(pushed, "podman push", podman.push),
    }
    pushes = in_turns(samples, rounds, warm_up=0)
    sizes = {
        OURS: _size(registries[OURS], below=ours.base_layers),
        "podman push": _size(registries["podman push"]),
        "podman checkpoint --export, zstd": float(podman.archive.stat().st_size),
    }
    yield from _rows("redis: size of the checkpoint", sizes, unit="KiB")
    yield from _rows("redis: push", pushes, unit="s")
    pulls: dict[str, Sample] = {
        OURS: lambda: ours.pull(registries[OURS].reference("redis")),
        "podman pull": lambda: podman.pull(registries["podman push"].reference("redis")),
    }
    settled = {name: partial(_settled, sample) for name, sample in pulls.items()}
    yield from _rows("redis: pull", in_turns(settled, rounds, warm_up=0), unit="s")


def _restores(ours: Ours, runc: Runc, podman: PodmanRedis, rounds: int) -> Iterator[Row]:
    """Of another one, which nobody was connected to: runc's restored network has no loopback device that is up."""
    for each in (ours, runc, podman):
        each.client.close()
    for make in (ours.checkpoint, podman.export, partial(runc.dump, "disk"), partial(runc.dump, "tmpfs")):
        make()
    samples: dict[str, Sample] = {
        OURS: ours.restore,
        LAZY: ours.restore_lazily,
        "runc restore, on the disk": partial(runc.restore, "disk"),
        "runc restore, on a tmpfs": partial(runc.restore, "tmpfs"),
        "podman restore": podman.restore,
    }
    settled = {name: partial(_settled, sample) for name, sample in samples.items()}
    taken = in_turns(settled, rounds, warm_up=1)
    lazily = taken.pop(LAZY)
    yield from _rows("redis: restore", taken)
    yield from _rows("redis: lazy restore, an answer", {**taken, OURS: lazily})


def _settled(sample: Sample) -> float:
    """What the one before left to be written does not slow it."""
    os.sync()
    return sample()


def _paused(figure: str, samples: Paused, rounds: int) -> Iterator[Row]:
    """Of each the longest wait of its client, and the time."""
    waits: dict[str, list[float]] = {name: [] for name in samples}

    def sample(name: str) -> float:
        do, client = samples[name]
        os.sync()
        client.longest_wait()
        taken = do()
        waits[name].append(client.longest_wait())
        return taken

    taken = in_turns({name: partial(sample, name) for name in samples}, rounds, warm_up=1)
    yield from _rows(f"{figure}, pause", {name: statistics.median(each[1:]) for name, each in waits.items()})
    yield from _rows(f"{figure}, time", taken)


def _rows(figure: str, costs: Mapping[str, float], *, unit: str = "ms") -> Iterator[Row]:
    """Each is to be reached: the best of them too."""
    for name, theirs in costs.items():
        if name != OURS:
            yield Row(figure, name, costs[OURS], theirs, unit=unit, limit=1.0)


def _size(registry: Registry, *, below: int = 0) -> float:
    """Of the layers that were pushed, without so many of the image that they stand on."""
    return float(sum(layer["size"] for layer in registry.manifest("redis")["layers"][below:]))
