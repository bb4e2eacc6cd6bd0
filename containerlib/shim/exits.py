"""Exit records."""

from __future__ import annotations

from containerlib._sys.wire import Kind
from containerlib.runtime import exit_status, read_record
from containerlib.spec.status import ExitStatus

__all__ = ["read_exit"]

_NOT_STARTED = 127


def read_exit(directory: str) -> ExitStatus | None:
    """How the container in `directory` ended; None while it runs, and where its shim was killed."""
    record = read_record(directory, "exit")
    if record is None:
        return None
    if record.kind == Kind.FAILED:  # it was created, and could not be executed
        return ExitStatus(exit_code=_NOT_STARTED)
    return exit_status(record)
