"""The program of a created container. Spec: runtime-spec runtime.md#start"""

from __future__ import annotations

from containerlib.errors import StageError
from containerlib.runtime.containers.kill import end
from containerlib.runtime.containers.lock import Lock
from containerlib.runtime.unsupervised import run_hooks, start_unsupervised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.runtime.containers.containers import Container

__all__ = ["start"]

_PATIENCE = 10.0


def start(container: Container) -> None:
    """Returns when the program runs, and its poststart hooks have. Where one of these fails, the container is ended.

    Raises: Conflict; StageError where it could not be executed, or for a hook.
    """
    with Lock(container.directory):
        container.check("start", locked=True)
        spec = container.spec()
        start_unsupervised(container.directory, spec)
        record = container.record
        try:
            run_hooks("poststart", spec, container_id=record.id, bundle=record.bundle, pid=record.pid)
        except StageError:
            end(container, patience=_PATIENCE)
            raise
