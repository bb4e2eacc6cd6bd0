from __future__ import annotations

import pytest

from containerlib.engine.sources import Resolved, check_reference, host
from containerlib.errors import InvalidArgument
from containerlib.spec.image_config import ImageConfig


@pytest.mark.parametrize(
    "reference", ["redis", "localhost:5000/a/b:1", "a@sha256:" + "0" * 64, "sha256:" + "0" * 64, "0" * 64]
)
def test_check_reference_names_and_ids_kept(reference: str) -> None:
    assert check_reference(reference) == reference


@pytest.mark.parametrize("reference", ["", "Redis", "a b", "redis:", "-"])
def test_check_reference_neither_refused(reference: str) -> None:
    with pytest.raises(InvalidArgument):
        check_reference(reference)


def test_host_root_is_private() -> None:
    root = host().overlay("/state/containers/x", "/state/mountpoints")
    assert (root.lowers, root.upper, root.work) == (("/",), None, None)


def test_image_root_has_the_mountpoints_below_its_layers() -> None:
    resolved = Resolved("sha256:1", "a", ImageConfig(), ("/top", "/base"))
    root = resolved.overlay("/state/containers/x", "/state/mountpoints")
    assert root.lowers == ("/top", "/base", "/state/mountpoints")
    assert (root.upper, root.work) == ("/state/containers/x/upper", "/state/containers/x/work")
