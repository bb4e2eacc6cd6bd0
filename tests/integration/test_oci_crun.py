"""Options that crun's command has and runc's has not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rig.bundles import until
from rig.oci import Bundle, Command, groups_left, status_of

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


# ---- --cgroup-manager ----


def test_cgroup_manager_disabled_makes_no_groups_and_warns(oci: Command, bundle: Bundle) -> None:
    made = bundle("sleep", "100")
    create = ("--cgroup-manager", "disabled", "create", "--bundle", made, "--no-subreaper", "c1")
    answer = oci.silently(*create)
    assert answer.status == 0
    assert "no control groups, and no limits of resources.devices" in answer.message
    assert groups_left(made) == []
    oci("start", "c1").ok()
    assert "was made without control groups" in oci("pause", "c1").message
    oci("kill", "c1", "KILL").ok()
    until(lambda: status_of(oci, "c1") == "stopped")
    oci("delete", "c1").ok()


def test_cgroup_manager_cgroupfs_wins_over_systemd_cgroup(oci: Command, bundle: Bundle) -> None:
    made = bundle("sleep", "100")
    oci.silently("--systemd-cgroup", "--cgroup-manager", "cgroupfs", "create", "--bundle", made, "c1").ok()
    assert groups_left(made)


def test_cgroup_manager_systemd_is_systemd_cgroup(oci: Command, bundle: Bundle) -> None:
    """A path of cgroupfs is no unit."""
    answers = [
        oci(*words, "create", "--bundle", bundle("true"), "c1").message
        for words in (("--cgroup-manager", "systemd"), ("--systemd-cgroup",))
    ]
    assert "slice:prefix:name" in answers[0]
    assert answers[0].split("/containerlib")[0] == answers[1].split("/containerlib")[0]


def test_cgroup_manager_of_another_name_is_refused(oci: Command, bundle: Bundle) -> None:
    answer = oci("--cgroup-manager", "cgmanager", "run", "--bundle", bundle("true"), "c1")
    assert answer.status == 1
    assert "cgroupfs, systemd or disabled is needed" in answer.message


# ---- delete and kill --regex ----


@pytest.fixture
def four(oci: Command, bundle: Bundle) -> None:
    for name in ("web-1", "web-2", "old-web-9", "db"):
        oci.create(bundle("sleep", "100"), name).ok()


@pytest.mark.usefixtures("four")
def test_regex_delete_takes_the_containers_that_match_anywhere(oci: Command) -> None:
    oci("start", "web-2").ok()
    answer = oci("delete", "--regex", "web-[0-9]")
    assert answer.status == 0
    assert "web-2" in answer.message  # it runs, and the others were deleted all the same
    assert oci("list", "-q").text == "db\nweb-2\n"
    oci("delete", "-r", "--force", "^web").ok()
    assert oci("list", "-q").text == "db\n"
    oci("delete", "--regex", "nothing").ok()


@pytest.mark.usefixtures("four")
def test_regex_kill_reaches_the_containers_that_match(oci: Command) -> None:
    oci("kill", "--regex", "^web-", "KILL").ok()
    until(lambda: status_of(oci, "web-1") == status_of(oci, "web-2") == "stopped")
    assert status_of(oci, "old-web-9") == status_of(oci, "db") == "created"


@pytest.mark.parametrize("verb", ["kill", "delete"])
def test_regex_that_is_none_is_refused(oci: Command, verb: str) -> None:
    answer = oci(verb, "--regex", "web(")
    assert answer.status == 1
    assert "invalid regular expression web(" in answer.message
