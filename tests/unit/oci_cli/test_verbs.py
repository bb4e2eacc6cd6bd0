"""What verbs make of their flags, and what they print: no container is needed for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument
from containerlib.oci_cli.commands import COMMANDS
from containerlib.oci_cli.main import main
from containerlib.oci_cli.parser import Values, parse
from containerlib.oci_cli.sinks import check_console, write_pid_file
from containerlib.oci_cli.verb_exec import process_of
from containerlib.oci_cli.verb_list import table
from containerlib.oci_cli.verb_ps import selected
from containerlib.oci_cli.verb_spec import example, rootless
from containerlib.oci_cli.verb_update import resources_of
from containerlib.runtime.config.validate import validate
from rig.configs import json_schema

Run = Callable[..., tuple[int, str, str]]


def values(verb: str, *words: str) -> Values:
    command = COMMANDS[verb]
    return parse(words, command.flags, mixed=command.mixed)[0]


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """A command: its exit status and what it wrote."""

    def command(*words: str) -> tuple[int, str, str]:
        status = main(["--root", str(tmp_path / "state"), *words])
        return status, *capfd.readouterr()

    return command


# ---- misuse ----


@pytest.mark.parametrize(
    "words",
    [("state",), ("kill",), ("delete", "-f"), ("start",), ("exec",), ("pause",), ("create",), ("run",)],
)
def test_misuse_too_few_arguments(run: Run, words: tuple[str, ...]) -> None:
    status, out, err = run(*words)
    assert status == 1
    assert out.startswith("Incorrect Usage")
    assert f'\\"{words[0]}\\" requires ' in err


@pytest.mark.parametrize(
    "words", [("list", "x"), ("features", "x"), ("kill", "a", "9", "b"), ("state", "a", "b")]
)
def test_misuse_too_many_arguments(run: Run, words: tuple[str, ...]) -> None:
    assert run(*words)[0] == 1


def test_misuse_unknown_flag_and_command(run: Run) -> None:
    status, _, err = run("state", "--bogus", "c1")
    assert (status, "flag provided but not defined: -bogus" in err) == (1, True)
    status, _, err = run("bogus")
    assert (status, "No help topic for 'bogus'" in err) == (3, True)


def test_version_is_what_engines_read(run: Run) -> None:
    status, out, _ = run("--version")
    first, second = out.splitlines()
    assert status == 0
    assert first.startswith("containerlib-oci version ")
    assert second == "spec: 1.3.0"


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_names_every_flag(run: Run, verb: str) -> None:
    status, out, _ = run(verb, "--help")
    assert status == 0
    assert COMMANDS[verb].summary in out
    for flag in COMMANDS[verb].flags:
        assert f"--{flag.name}" in out


def test_help_names_every_command(run: Run) -> None:
    status, out, _ = run("help")
    assert status == 0
    assert all(f"   {verb} " in out for verb in COMMANDS)


# ---- containers that are not there ----


@pytest.mark.parametrize(
    "words",
    [("state", "x"), ("kill", "x"), ("start", "x"), ("delete", "x"), ("ps", "x"), ("pause", "x"), ("resume", "x"),
     ("events", "x"), ("update", "--pids-limit", "9", "x")],
)  # fmt: skip
def test_missing_container_is_told_as_containerd_wants_it(run: Run, words: tuple[str, ...]) -> None:
    status, out, err = run(*words)
    assert (status, out) == (1, "")
    assert "container does not exist" in err


def test_missing_container_exec_exits_with_255(run: Run) -> None:
    status, _, err = run("exec", "x", "true")
    assert (status, 'msg="exec failed: container does not exist' in err) == (255, True)


def test_missing_container_delete_by_force_is_fine(run: Run) -> None:
    assert run("delete", "--force", "x") == (0, "", "")


def test_missing_state_directory_list_is_empty(run: Run) -> None:
    assert run("list", "-f", "json") == (0, "null\n", "")
    assert run("list", "-q") == (0, "", "")
    assert run("list")[1] == "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
    assert run("list", "-f", "xml")[0] == 1


@pytest.mark.parametrize("container_id", ["a b", "..", "a/b", "a:b", "", "x" * 256, "é"])
def test_wrong_id_is_refused(run: Run, container_id: str) -> None:
    status, _, err = run("state", container_id)
    assert status == 1
    assert "container id" in err.lower()


# ---- create, before anything is made ----


def test_create_names_what_is_missing(run: Run, tmp_path: Path) -> None:
    status, _, err = run("create", "--bundle", str(tmp_path / "none"), "c1")
    assert (status, f"chdir {tmp_path}/none: no such file or directory" in err) == (1, True)
    status, _, err = run("create", "--bundle", str(tmp_path), "c1")
    assert (status, "JSON specification file config.json not found" in err) == (1, True)
    (tmp_path / "config.json").write_text(json.dumps(example(unified=False)))
    status, _, err = run("create", "--bundle", str(tmp_path), "c1")
    assert (status, f"invalid rootfs: stat {tmp_path}/rootfs: no such file or directory" in err) == (1, True)
    assert not (tmp_path / "state" / "c1").exists()


@pytest.mark.parametrize(
    ("socket", "terminal", "detach"), [("", True, True), ("s", False, True), ("s", True, False)]
)
def test_check_console_refuses_what_has_no_sense(socket: str, terminal: bool, detach: bool) -> None:
    with pytest.raises(InvalidArgument, match="if runc will"):
        check_console(socket, terminal=terminal, detach=detach)


@pytest.mark.parametrize(
    ("socket", "terminal", "detach"), [("s", True, True), ("", True, False), ("", False, True)]
)
def test_check_console_lets_the_rest_pass(socket: str, terminal: bool, detach: bool) -> None:
    check_console(socket, terminal=terminal, detach=detach)


def test_write_pid_file_replaces_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("old and longer")
    write_pid_file(str(tmp_path / "pid"), 42)
    assert (tmp_path / "pid").read_text() == "42"
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


def test_write_pid_file_after_a_writer_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / ".pid").write_text("half of an older one")
    write_pid_file(str(tmp_path / "pid"), 42)
    assert (tmp_path / "pid").read_text() == "42"
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


def test_write_pid_file_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("pid")
    write_pid_file(str(tmp_path / "link"), 42)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "pid").read_text() == "42"


def test_write_pid_file_into_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    reader = os.open(tmp_path / "pid", os.O_RDONLY | os.O_NONBLOCK)
    write_pid_file(str(tmp_path / "pid"), 42)
    assert os.read(reader, 10) == b"42"
    os.close(reader)
    assert (tmp_path / "pid").is_fifo()


# ---- spec ----


@pytest.mark.parametrize("unified", [False, True])
@pytest.mark.parametrize("for_root", [False, True])
def test_spec_is_valid(unified: bool, for_root: bool) -> None:
    spec = example(unified=unified) if for_root else rootless(example(unified=unified), 1000, 1001)
    assert [error.message for error in json_schema("config-schema.json").iter_errors(spec)] == []
    validate(spec)


def test_spec_rootless_maps_the_caller_and_needs_no_rights() -> None:
    spec = rootless(example(unified=False), 1000, 1001)
    linux = spec["linux"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 1001, "size": 1}]
    assert {n["type"] for n in linux["namespaces"]} == {"pid", "ipc", "uts", "mount", "user"}
    assert "resources" not in linux
    assert not any(word.startswith("gid=") for mount in spec["mounts"] for word in mount.get("options", ()))
    assert next(m for m in spec["mounts"] if m["destination"] == "/sys")["options"][0] == "rbind"


def test_spec_writes_a_file_once(run: Run, tmp_path: Path) -> None:
    assert run("spec", "--bundle", str(tmp_path)) == (0, "", "")
    assert json.loads((tmp_path / "config.json").read_text())["process"]["args"] == ["sh"]
    status, _, err = run("spec", "--bundle", str(tmp_path))
    assert (status, "File config.json exists. Remove it first" in err) == (1, True)


def test_spec_file_is_another_in_the_bundle_or_anywhere(run: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for name, path in (("other.json", bundle / "other.json"), (f"{tmp_path}/x.json", tmp_path / "x.json")):
        assert run("spec", "--bundle", str(bundle), "--file", name) == (0, "", "")
        assert json.loads(path.read_text())["process"]["args"] == ["sh"]
        status, _, err = run("spec", "--bundle", str(bundle), "-f", name)
        assert (status, f"File {name} exists. Remove it first" in err) == (1, True)
    assert not (bundle / "config.json").exists()


def test_features_is_valid(run: Run) -> None:
    status, out, _ = run("features")
    assert status == 0
    assert [error.message for error in json_schema("features-schema.json").iter_errors(json.loads(out))] == []


# ---- exec ----

PROCESS: Any = {
    "user": {"uid": 0, "gid": 0, "additionalGids": [3]},
    "args": ["init"],
    "env": ["A=1"],
    "cwd": "/",
    "terminal": True,
    "capabilities": {
        "bounding": ["CAP_KILL"],
        "effective": ["CAP_KILL"],
        "permitted": ["CAP_KILL"],
        "inheritable": [],
    },
}


def test_process_is_the_container_s_with_another_command() -> None:
    process = process_of(values("exec"), ["ls", "-l"], PROCESS)
    assert process == {**PROCESS, "args": ["ls", "-l"], "terminal": False}
    assert PROCESS["args"] == ["init"]


def test_process_takes_every_flag() -> None:
    words = ["--cwd", "/x", "-e", "B=2", "-t", "-u", "5:6", "-g", "7", "--no-new-privs"]
    words += ["--cap", "CAP_SYS_ADMIN", "--apparmor", "profile", "--process-label", "label"]
    process = process_of(values("exec", *words), ["ls"], PROCESS)
    assert process["cwd"] == "/x"
    assert process["env"] == ["A=1", "B=2"]
    assert process["terminal"]
    assert process["user"] == {"uid": 5, "gid": 6, "additionalGids": [3, 7]}
    assert process["noNewPrivileges"]
    assert (process["apparmorProfile"], process["selinuxLabel"]) == ("profile", "label")


def test_process_capabilities_are_never_made_inheritable() -> None:
    """CVE-2022-29162."""
    process = process_of(values("exec", "--cap", "CAP_SYS_ADMIN"), ["ls"], PROCESS)
    sets = process["capabilities"]
    more = ["CAP_KILL", "CAP_SYS_ADMIN"]
    assert (sets["bounding"], sets["effective"], sets["permitted"], sets["inheritable"]) == (
        more,
        more,
        more,
        [],
    )


def test_process_user_alone_keeps_the_group() -> None:
    changed = {**PROCESS, "user": {"uid": 1, "gid": 2}}
    assert process_of(values("exec", "-u", "5"), ["ls"], changed)["user"] == {"uid": 5, "gid": 2}


@pytest.mark.parametrize("user", ["root", "5:wheel", ":5", "-1"])
def test_process_user_by_name_is_refused(user: str) -> None:
    with pytest.raises(InvalidArgument, match="failed: invalid syntax"):
        process_of(values("exec", "--user", user), ["ls"], PROCESS)


def test_process_of_a_file_is_taken_whole(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"args": ["x"], "cwd": "/y"}))
    assert process_of(values("exec", "-p", str(tmp_path / "p.json")), [], PROCESS) == {
        "args": ["x"],
        "cwd": "/y",
    }


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_process_of_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InvalidArgument):
        process_of(values("exec", "-p", str(tmp_path / "p.json")), [], PROCESS)


def test_process_without_a_command_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="process args cannot be empty"):
        process_of(values("exec"), [], PROCESS)


# ---- update ----


@pytest.mark.parametrize(
    ("words", "resources"),
    [
        ((), {}),
        (("--memory", "64M"), {"memory": {"limit": 64 << 20}}),
        (("--memory", "-1"), {"memory": {"limit": -1, "swap": -1}}),
        (("--memory", "-1", "--memory-swap", "9"), {"memory": {"limit": -1, "swap": 9}}),
        (("--memory-reservation", "5", "--memory-swap", "-1"), {"memory": {"reservation": 5, "swap": -1}}),
        (
            (
                "--cpu-period",
                "1000",
                "--cpu-quota",
                "-1",
                "--cpu-share",
                "9",
                "--cpu-burst",
                "0",
                "--cpu-idle",
                "1",
            ),
            {"cpu": {"period": 1000, "quota": -1, "burst": 0, "shares": 9, "idle": 1}},
        ),
        (("--cpuset-cpus", "0-1", "--cpuset-mems", "0"), {"cpu": {"cpus": "0-1", "mems": "0"}}),
        (
            ("--cpu-rt-period", "5", "--cpu-rt-runtime", "-1"),
            {"cpu": {"realtimePeriod": 5, "realtimeRuntime": -1}},
        ),
        (("--pids-limit", "20"), {"pids": {"limit": 20}}),
        (("--blkio-weight", "20"), {"blockIO": {"weight": 20}}),
    ],
)
def test_resources_of_each_flag(words: tuple[str, ...], resources: dict[str, Any]) -> None:
    assert resources_of(values("update", *words)) == resources


@pytest.mark.parametrize(
    "words", [("--memory", "much"), ("--cpu-period", "-5"), ("--cpu-quota", "x"), ("--cpu-share", "1.5")]
)
def test_resources_refuse_what_is_no_number(words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument, match=f"invalid value for {words[0][2:]}"):
        resources_of(values("update", *words))


def test_resources_of_a_file_win_over_flags(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"pids": {"limit": 3}}')
    found = resources_of(values("update", "--memory", "5", "-r", str(tmp_path / "r.json")))
    assert found == {"pids": {"limit": 3}}


def test_devices_of_a_file_are_passed_over(tmp_path: Path) -> None:
    """runc's command does not change them either, and its callers count on it."""
    (tmp_path / "r.json").write_text('{"pids": {"limit": 3}, "devices": [{"allow": false}]}')
    assert resources_of(values("update", "-r", str(tmp_path / "r.json"))) == {"pids": {"limit": 3}}


# ---- tables ----


def test_table_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table([["ID", "PID"], ["a" * 20, "1"]]) == f"ID{' ' * 21}PID\n{'a' * 20}   1\n"


def test_selected_lines_of_ps() -> None:
    output = "USER  PID CMD\nroot    1 init\nroot   12 sleep 1\nroot    2 12\n"
    assert list(selected(output, {12})) == ["USER  PID CMD", "root   12 sleep 1"]


def test_selected_without_a_pid_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="couldn't find PID field in ps output"):
        list(selected("CMD\ninit\n", {1}))
