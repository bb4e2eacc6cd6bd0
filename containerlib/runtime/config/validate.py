"""A config.json that a stranger wrote, checked whole before anything is done.

    warnings = validate(json.loads(text))     # else InvalidArgument(field="process.rlimits[2].type") or Unsupported

What a property may be is in shape.py, what properties mean together in rules.py. A configuration that this library
made is trusted: nobody calls this on the way to a container of the engine's.

Spec: runtime-spec config.md#valid-values, runtime.md#errors
"""

from __future__ import annotations

from containerlib.errors import InvalidArgument
from containerlib.runtime.config import rules as config_rules
from containerlib.runtime.config import shape as config_shape
from containerlib.runtime.config.shapes import Check, Wrong
from containerlib.spec.values import cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Process, Resources, Spec

__all__ = ["validate", "validate_process", "validate_rdt", "validate_resources"]


def validate(spec: object) -> tuple[str, ...]:
    """Checks a decoded config.json; the warnings are about what is passed over, as the specification has it.

    Raises: InvalidArgument, whose `field` is the path of the wrong property; Unsupported, which names a property
    that this runtime refuses.
    """
    _shape(config_shape.CONFIG, spec, "")
    config = cast("Spec", spec)
    config_rules.check_config(config)
    return tuple(config_rules.warnings_of(config))


def validate_process(process: object) -> tuple[str, ...]:
    """The same for the process of an exec. Raises: as `validate`."""
    _shape(config_shape.PROCESS, process, "process")
    config_rules.check_process(cast("Process", process))
    return tuple(config_rules.capability_warnings(cast("Process", process)))


def validate_resources(resources: object) -> None:
    """The same for the resources of an update. Raises: as `validate`."""
    _shape(config_shape.RESOURCES, resources, "resources")
    config_rules.check_resources(cast("Resources", resources), "resources")


def validate_rdt(rdt: object) -> None:
    """The same for the schemas of an update. Raises: as `validate`."""
    _shape(config_shape.INTEL_RDT, rdt, "intelRdt")


def _shape(check: Check, value: object, root: str) -> None:
    try:
        check(value)
    except Wrong as wrong:
        raise InvalidArgument(wrong.message, field=wrong.path(root)) from None
