"""Options that crun's command has and runc's has not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rig.oci import Bundle, Command

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def other_config(bundle: str, path: Path, *argv: str) -> Path:
    """The bundle's configuration with another command, at `path`."""
    spec = json.loads(Path(bundle, "config.json").read_text())
    spec["process"]["args"] = list(argv)
    path.write_text(json.dumps(spec))
    return path


# ---- create and run --config ----


def test_config_of_another_name_is_a_path_from_the_working_directory(
    oci: Command, bundle: Bundle, tmp_path: Path
) -> None:
    made = bundle("echo", "bundle")
    other_config(made, tmp_path / "other.json", "echo", "other")
    assert oci("run", "--bundle", made, "--config", "other.json", "c1", cwd=tmp_path).text == "other\n"


def test_config_json_is_the_bundles(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    made = bundle("echo", "bundle")
    other_config(made, tmp_path / "config.json", "echo", "other")
    assert oci("run", "--bundle", made, "-f", "config.json", "c1", cwd=tmp_path).text == "bundle\n"


def test_config_by_an_absolute_path_counts_for_create_and_exec(
    oci: Command, bundle: Bundle, tmp_path: Path
) -> None:
    made = bundle("echo", "bundle")
    config = other_config(made, tmp_path / "other.json", "sleep", "100")
    Path(made, "config.json").unlink()
    oci.create(made, "c1", "--config", str(config)).ok()
    config.unlink()
    assert oci("exec", "c1", "echo", "inside").text == "inside\n"


def test_config_that_is_missing_is_named(oci: Command, bundle: Bundle) -> None:
    message = oci("create", "--bundle", bundle("true"), "--config", "/nowhere/other.json", "c1").message
    assert "JSON specification file other.json not found: there is no /nowhere/other.json" in message
