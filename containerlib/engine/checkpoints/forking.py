"""Live copies of a running container: one dump, from which each of them goes on. The container itself pauses only."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib.engine.checkpoints.capture import captured
from containerlib.engine.checkpoints.changed import unpack
from containerlib.engine.checkpoints.outside import Begun
from containerlib.engine.checkpoints.restoring import Restoration, begin
from containerlib.engine.sources import resolve_again
from containerlib.engine.stop import discard
from containerlib.engine.undo import clean_up
from containerlib.spec.values import evolve as evolve_value

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.runtime.checkpoint import Options

__all__ = ["fork"]


def fork(
    instance: Instance, count: int, options: Options, *, detached: bool, lazy: bool = False
) -> list[Instance]:
    """`count` containers, all of them or none: each with a name, addresses, ports and a writable layer of its own.

    Raises: as `checkpoint` and `restore`.
    """
    core, record = instance.core, instance.record
    with captured(instance, evolve_value(options, leave_running=True)) as found:
        image = resolve_again(core, record.image_id, record.image_reference, instance.memo.layers)
        begun = Begun.of(found.layer, image)
        networks = tuple(
            evolve(each, address=None, address6=None, mac=None) for each in found.document.networks
        )
        ports = tuple(evolve(each, host_port=0, host_last=None) for each in found.document.ports)
        wanted = Restoration(record.image_id, None, detached, networks, ports, lazy=lazy)
        return _all(lambda: begin(core, begun, wanted, fill=partial(_unpack, found.changed)), count)


def _all(make: Callable[[], Instance], count: int) -> list[Instance]:
    """So many, made by as many threads as there are processors; where one fails the others are removed."""
    failures: list[BaseException] = []
    with ThreadPoolExecutor(min(count, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(make) for _ in range(count)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException as interrupt:
            failures.append(interrupt)
        for each in futures:
            each.cancel()
    ended = [each for each in futures if not each.cancelled()]
    failures += [error for each in ended if (error := each.exception()) is not None]
    made = [each.result() for each in ended if each.exception() is None]
    if failures:
        clean_up(failures[0], *(partial(discard, each) for each in made))
        raise failures[0]
    return made


def _unpack(changed: str, directory: str) -> None:
    """What the container had changed, as the new one's own."""
    unpack(changed, f"{directory}/upper")
