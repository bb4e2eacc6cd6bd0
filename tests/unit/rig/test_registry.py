"""The registry fixture is a real registry, and ends."""

from __future__ import annotations

from pathlib import Path

from rig.registry import Registry


def test_registry_push_of_a_layout_lists_its_tag(registry: Registry, busybox_image: Path) -> None:
    registry.push(busybox_image, "library/busybox", "1")
    assert registry.tags("library/busybox") == ["1"]
