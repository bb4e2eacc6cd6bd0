"""Properties that a config.json has as null."""

from __future__ import annotations

from typing import Any

import pytest

from rig.oci import Bundle, Command

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.mark.parametrize("time_namespace", [True, False])
def test_clocks_that_are_null_are_the_hosts(oci: Command, bundle: Bundle, time_namespace: bool) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["linux"]["timeOffsets"] = None
        spec["linux"]["namespaces"] += [{"type": "time"}] if time_namespace else []

    assert oci("run", "--bundle", bundle("echo", "hello", change=change), "c1").text == "hello\n"
