"""Devices of the host in a container's configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from containerlib.bundles.devices import devices_of, rules_of
from containerlib.errors import NotFound
from containerlib.spec.options import ContainerOptions, DeviceOption


def test_device_is_made_at_its_place_and_may_be_used() -> None:
    options = ContainerOptions(devices=(DeviceOption("/dev/null", "/dev/nothing", "r"),))
    (device,) = devices_of(options)
    assert (device["path"], device["type"], device["major"], device["minor"]) == ("/dev/nothing", "c", 1, 3)
    assert rules_of(options) == [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}]


def test_device_behind_a_link_is_what_that_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    options = ContainerOptions(devices=(DeviceOption(str(tmp_path / "link"), "/dev/x"),))
    assert [(device["path"], device["minor"]) for device in devices_of(options)] == [("/dev/x", 5)]


@pytest.mark.privileged("CAP_MKNOD: makes device nodes")
def test_directory_of_devices_gives_each(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a", "below/b"):
        os.mknod(tmp_path / name, 0o020600, os.makedev(1, 3))
    (tmp_path / "file").touch()
    options = ContainerOptions(devices=(DeviceOption(str(tmp_path), "/dev/all"),))
    assert sorted(device["path"] for device in devices_of(options)) == ["/dev/all/a", "/dev/all/below/b"]


def test_device_that_is_none_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, text in (
        (tmp_path / "none", "there is no device"),
        (tmp_path, "no directory with devices"),
        (tmp_path / "file", "is no device and no directory"),
    ):
        with pytest.raises(NotFound, match=text):
            devices_of(ContainerOptions(devices=(DeviceOption(str(path), "/dev/x"),)))


def test_rule_without_numbers_is_of_any() -> None:
    options = ContainerOptions(
        device_rules=(("c", 10, None, "rw"), ("a", None, None, "m"), ("b", None, 3, "r"))
    )
    assert rules_of(options) == [
        {"allow": True, "type": "c", "major": 10, "access": "rw"},
        {"allow": True, "type": "a", "access": "m"},
        {"allow": True, "type": "b", "minor": 3, "access": "r"},
    ]
