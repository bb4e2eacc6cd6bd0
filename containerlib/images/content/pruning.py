"""Which images a prune takes: a pure choice over records.

doomed(records, policy, now=time.time(), in_use={"sha256:..."})
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from containerlib.images.records import ImageRecord

__all__ = ["PrunePolicy", "doomed"]


@frozen
class PrunePolicy:
    """What may go. Of what each rule leaves, the next one chooses; what a container was made from always stays.

    `named` False: only images without a name, as with `docker image prune`. `older_than`: seconds since they came
    here. `labels`: those that have all of these (a value of None: whatever it is). `keep_bytes`: the oldest go, until
    no more than this is left.
    """

    named: bool = False
    older_than: float | None = None
    labels: tuple[tuple[str, str | None], ...] = ()
    keep_bytes: int | None = None


def doomed(
    records: Sequence[ImageRecord], policy: PrunePolicy, *, now: float, in_use: Callable[[str], bool]
) -> list[ImageRecord]:
    """The images to remove, the oldest first. `now`: seconds since the epoch."""
    free = [record for record in records if not in_use(record.id) and _may_go(record, policy, now)]
    free.sort(key=lambda record: record.created_at)
    if policy.keep_bytes is None:
        return free
    left = sum(record.size_bytes for record in records)
    chosen = []
    for record in free:
        if left <= policy.keep_bytes:
            break
        chosen.append(record)
        left -= record.size_bytes
    return chosen


def _may_go(record: ImageRecord, policy: PrunePolicy, now: float) -> bool:
    labels = dict(record.config.labels)
    return (
        (policy.named or not record.references)
        and (policy.older_than is None or now - record.created_at.timestamp() > policy.older_than)
        and all(name in labels and value in (None, labels[name]) for name, value in policy.labels)
    )
