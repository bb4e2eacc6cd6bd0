"""features: what this runtime can do, as JSON. Spec: runtime-spec features.md, features-linux.md"""

from __future__ import annotations

import json
import sys

from containerlib.runtime.config.features import features

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.oci_cli.request import Request

__all__ = ["run"]


def run(request: Request) -> int:
    request.log.debug("features")
    sys.stdout.write(json.dumps(features(), indent=4) + "\n")
    return 0
