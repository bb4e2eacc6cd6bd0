"""Why a container was not started again: its supervisor leaves numbers, and these are the words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containerlib import runtime
from containerlib._sys.wire import Stage
from containerlib.errors import StageError
from containerlib.runtime.drivers.errors import explained
from containerlib.runtime.failures import failure
from containerlib.runtime.plan.op import Op

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance

__all__ = ["last_failure"]


def last_failure(instance: Instance) -> str | None:
    """Of the last start by its supervisor; None where that went well, or there was none."""
    record = runtime.read_record(instance.directory, "failed")
    if record is None:
        return None
    program = instance.spec["process"]["args"][0]
    origin = program if record.value[0] == Stage.EXEC else f"the start of {instance.subject}"
    error = failure(record, [Op(record.number[1], origin)], first=record.value[2])
    if isinstance(error, StageError):
        error = explained(error, f"{instance.directory}/runtime.log", program)
    return str(error)
