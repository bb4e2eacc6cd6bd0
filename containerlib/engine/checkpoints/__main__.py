"""What a container's supervisor runs, which is no Python: see keeping.py.

python -m containerlib.engine.checkpoints keep ROOT ID
python -m containerlib.engine.checkpoints rewind DIRECTORY CHECKPOINT
"""

from __future__ import annotations

import signal
import sys
from contextlib import closing


def _keep(root: str, container_id: str) -> None:
    from containerlib.engine.checkpoints.keeping import keep  # noqa: PLC0415 - `rewind` needs none of it
    from containerlib.engine.core import Core  # noqa: PLC0415
    from containerlib.engine.instance import Instance  # noqa: PLC0415

    with closing(Core(root)) as core:
        keep(Instance.of(core, core.store.containers.get(container_id)))


def _rewind(directory: str, checkpoint: str) -> None:
    from containerlib.engine.checkpoints.changed import rewind  # noqa: PLC0415 - `keep` needs none of it

    rewind(directory, f"{checkpoint}/changed.tar")


def main(what: str, *words: str) -> None:
    """`keep` or `rewind`."""
    # its supervisor asks it to end: whatever it is at is taken back
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    {"keep": _keep, "rewind": _rewind}[what](*words)


if __name__ == "__main__":
    main(*sys.argv[1:])
