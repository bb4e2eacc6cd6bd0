"""Words for binds that stand beside each other, as engines write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rig.oci import Bundle, Command

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.mark.parametrize("words", ["rbind,rprivate,rw,bind", "bind,rprivate,rw,rbind"])
def test_bind_beside_rbind_has_the_mounts_below(
    oci: Command, bundle: Bundle, source: Path, words: str
) -> None:
    (source / "below/file").write_text("below\n")

    def change(spec: dict[str, Any]) -> None:
        spec["mounts"].append(
            {"destination": "/tmp", "type": "bind", "source": str(source), "options": words.split(",")}
        )

    made = bundle("cat", "/tmp/below/file", change=change)
    assert oci("run", "--bundle", made, "c1").text == "below\n"
