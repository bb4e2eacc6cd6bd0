from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from containerlib.engine.sources import Resolved, check_reference, host
from containerlib.errors import InvalidArgument
from containerlib.runtime import BindRoot, OverlayRoot
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.layer import MAX_LAYERS, Layer

if TYPE_CHECKING:
    from containerlib.spec.layer import LayerKind


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
    root = host().root("/state/containers/x", "/state/mountpoints")
    assert root == OverlayRoot(("/",), None, None)


def image(*layers: str | Layer) -> Resolved:
    return Resolved("sha256:1", "a", ImageConfig(), layers)


@pytest.mark.parametrize("kind", ["overlay", "overlay-userxattr", "erofs"])
def test_image_root_has_the_mountpoints_below_its_layers(kind: LayerKind) -> None:
    layers = Layer("/top", kind), Layer("/base", kind)
    root = image(*layers).root("/state/containers/x", "/state/mountpoints")
    assert root == OverlayRoot(
        (*layers, "/state/mountpoints"), "/state/containers/x/upper", "/state/containers/x/work"
    )


def test_image_root_of_as_many_layers_as_the_kernel_stacks_has_no_mountpoints() -> None:
    layers = [Layer(f"/{number}") for number in range(MAX_LAYERS)]
    root = image(*layers).root("/state/containers/x", "/state/mountpoints")
    assert isinstance(root, OverlayRoot)
    assert root.lowers == tuple(layers)


def test_image_root_of_a_copy_is_the_containers_own() -> None:
    root = image(Layer("/top", "copy")).root("/state/containers/x", "/state/mountpoints")
    assert root == BindRoot("/state/containers/x/rootfs")
