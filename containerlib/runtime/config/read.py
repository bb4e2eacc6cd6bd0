"""config.json from disk, whoever reads it: each kind of failure is one kind of error."""

from __future__ import annotations

import json

from containerlib.errors import InvalidArgument, NotFound, StageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.spec.runtime import Spec

__all__ = ["parse_object", "read_config", "read_object"]


def read_config(path: str) -> Spec:
    """Raises: NotFound, InvalidArgument, StageError."""
    missing = f"JSON specification file {path.rpartition('/')[2]} not found: there is no {path}"
    config: Spec = read_object(path, missing)  # type: ignore[assignment]  # what is wrong is found where it is used
    return config


def read_object(path: str, missing: str) -> dict[str, Any]:
    """The JSON object in a file. Raises: NotFound, which says `missing`; InvalidArgument; StageError."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.readall()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(missing) from error
    except OSError as error:
        raise StageError("config", error.errno or 0, path) from error
    return parse_object(data, path)


def parse_object(data: bytes, place: str) -> dict[str, Any]:
    """The JSON object that `data` is; `place` is what it is called in errors. Raises: InvalidArgument."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"it is not JSON: {error}", field=place) from error
    if not isinstance(found, dict):
        raise InvalidArgument("it is not a JSON object", field=place)
    return found
