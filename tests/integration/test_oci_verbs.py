"""The runc-compatible command: each verb on the real kernel, but for exec and update."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rig.bundles import until
from rig.configs import json_schema
from rig.oci import Bundle, Command, groups_left, status_of

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


# ---- the life of a container ----


@pytest.mark.vm
def test_life_all_states_in_order(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    made = bundle("sleep", "100")
    assert oci.create(made, "c1", "--pid-file", str(tmp_path / "pid")).status == 0
    state = oci.state("c1")
    assert [error.message for error in json_schema("state-schema.json").iter_errors(state)] == []
    assert (state["id"], state["status"], state["bundle"]) == ("c1", "created", made)
    assert (tmp_path / "pid").read_text() == str(state["pid"])
    oci("start", "c1").ok()
    assert status_of(oci, "c1") == "running"
    assert Path(f"/proc/{state['pid']}/cmdline").read_bytes() == b"sleep\x00100\x00"
    oci("kill", "c1", "KILL").ok()
    until(lambda: status_of(oci, "c1") == "stopped")
    assert oci.state("c1")["pid"] == 0
    oci("delete", "c1").ok()
    assert "container does not exist" in oci("state", "c1").message
    assert groups_left(made) == []
    assert list(oci.root.iterdir()) == []


def test_create_program_that_is_not_there_is_refused_and_leaves_nothing(oci: Command, bundle: Bundle) -> None:
    made = bundle("nope")
    answer = oci.create(made, "c1")
    assert answer.status == 1
    assert answer.message.endswith('exec: "nope": executable file not found in $PATH')
    assert (list(oci.root.iterdir()), groups_left(made)) == ([], [])


def test_create_id_that_is_taken(oci: Command, bundle: Bundle) -> None:
    made = bundle("sleep", "100")
    oci.create(made, "c1").ok()
    again = oci.create(bundle("sleep", "100"), "c1")
    assert again.status == 1
    assert "container with given ID already exists: 'c1' is created" in again.message
    assert status_of(oci, "c1") == "created"


def test_delete_one_that_lives_is_refused(oci: Command, bundle: Bundle) -> None:
    oci.detach(bundle("sleep", "100"), "c1").ok()
    answer = oci("delete", "c1")
    assert (answer.status, "cannot delete container c1 that is not stopped: running" in answer.message) == (
        1,
        True,
    )
    oci("delete", "--force", "c1").ok()
    assert oci("state", "c1").status == 1


def test_delete_by_force_one_that_is_paused(oci: Command, bundle: Bundle) -> None:
    made = bundle("sleep", "100")
    oci.detach(made, "c1").ok()
    oci("pause", "c1").ok()
    oci("delete", "--force", "c1").ok()
    assert groups_left(made) == []


def test_delete_ends_what_the_first_process_left(oci: Command, bundle: Bundle) -> None:
    """Without a pid namespace of its own, its children outlive it."""

    def share_pids(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]

    made = bundle("sh", "-c", "sleep 100 & exec sleep 0.2", change=share_pids)
    oci.detach(made, "c1").ok()
    until(lambda: status_of(oci, "c1") == "stopped")
    left = json.loads(oci("ps", "--format", "json", "c1").text)
    assert len(left) == 1
    oci("delete", "c1").ok()
    until(lambda: not Path(f"/proc/{left[0]}").exists())


def test_kill_all_reaches_every_process(oci: Command, bundle: Bundle) -> None:
    oci.detach(bundle("sh", "-c", "sleep 100 & sleep 100 & wait"), "c1").ok()
    until(lambda: len(json.loads(oci("ps", "-f", "json", "c1").text)) == 3)
    oci("kill", "--all", "c1", "9").ok()
    until(lambda: json.loads(oci("ps", "-f", "json", "c1").text) == [])
    assert status_of(oci, "c1") == "stopped"


def test_kill_default_is_term(oci: Command, bundle: Bundle) -> None:
    oci.detach(bundle("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done"), "c1").ok()
    oci("kill", "c1").ok()
    until(lambda: status_of(oci, "c1") == "stopped")


def test_kill_a_stopped_one_says_it_as_containerd_wants_it(oci: Command, bundle: Bundle) -> None:
    oci.detach(bundle("true"), "c1").ok()
    until(lambda: status_of(oci, "c1") == "stopped")
    answer = oci("kill", "c1", "KILL")
    assert (answer.status, answer.message.startswith("container not running")) == (1, True)


def test_start_twice_is_refused(oci: Command, bundle: Bundle) -> None:
    oci.detach(bundle("sleep", "100"), "c1").ok()
    answer = oci("start", "c1")
    assert (answer.status, answer.message.startswith("cannot start an already running container")) == (
        1,
        True,
    )


def test_hooks_after_start_and_after_delete_know_the_state(
    oci: Command, bundle: Bundle, tmp_path: Path
) -> None:
    def add_hooks(spec: dict[str, Any]) -> None:
        spec["hooks"] = {
            kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {tmp_path}/{kind}"]}]
            for kind in ("createRuntime", "poststart", "poststop")
        }

    oci.create(bundle("sleep", "100", change=add_hooks), "c1").ok()
    created = json.loads((tmp_path / "createRuntime").read_text())
    assert not (tmp_path / "poststart").exists()
    pid = oci.state("c1")["pid"]
    oci("start", "c1").ok()
    started = json.loads((tmp_path / "poststart").read_text())
    assert (created["status"], created["id"], created["pid"]) == ("creating", "c1", pid)
    assert (started["status"], started["pid"]) == ("running", pid)
    oci("delete", "-f", "c1").ok()
    assert json.loads((tmp_path / "poststop").read_text())["status"] == "stopped"


# ---- run ----


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 0)])
def test_run_ends_as_its_process_does(oci: Command, bundle: Bundle, script: str, status: int) -> None:
    """The first process of a pid namespace is not killed by itself: the last script exits with 0."""
    made = bundle("sh", "-c", f"echo out; echo err >&2; {script}")
    answer = oci("run", "--bundle", made, "c1")
    assert (answer.status, answer.stdout, answer.stderr) == (status, "out\n", "err\n")
    assert (list(oci.root.iterdir()), groups_left(made)) == ([], [])


def test_run_input_goes_in(oci: Command, bundle: Bundle) -> None:
    answer = oci("run", "--bundle", bundle("cat"), "c1", stdin=None, input="hello")
    assert answer.text == "hello"


def test_run_keep_leaves_a_stopped_container(oci: Command, bundle: Bundle) -> None:
    assert oci("run", "--keep", "--bundle", bundle("false"), "c1").status == 1
    assert status_of(oci, "c1") == "stopped"
    oci("delete", "c1").ok()


def test_run_bundle_is_the_current_directory(oci: Command, bundle: Bundle) -> None:
    assert oci("run", "c1", cwd=bundle("echo", "here")).text == "here\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_run_passes_signals_on(oci: Command, bundle: Bundle, number: signal.Signals) -> None:
    script = f"trap 'echo got; exit 7' {number.name[3:]}; echo ready; while :; do sleep 0.01; done"
    with oci.start("run", "--bundle", bundle("sh", "-c", script), "c1", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "got\n"
        assert process.wait(20) == 7
    assert list(oci.root.iterdir()) == []


def test_run_killed_container_gives_128_and_the_signal(oci: Command, bundle: Bundle) -> None:
    with oci.start("run", "--bundle", bundle("sleep", "100"), "c1") as process:
        until(lambda: oci("state", "c1").status == 0 and status_of(oci, "c1") == "running")
        oci("kill", "c1", "KILL").ok()
        assert process.wait(20) == 137


def test_run_reaps_what_the_container_leaves(oci: Command, bundle: Bundle) -> None:
    def share_pids(spec: dict[str, Any]) -> None:
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]

    script = "for i in 1 2 3; do (sleep 0.05 &) ; done; echo ready; exec sleep 100"
    made = bundle("sh", "-c", script, change=share_pids)
    with oci.start("run", "--bundle", made, "c1", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: len(children(process.pid)) == 1)
        process.terminate()
        assert process.wait(20) == 143


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


# ---- the rest ----


@pytest.mark.vm
def test_pause_and_resume(oci: Command, running: str) -> None:
    oci("pause", running).ok()
    assert status_of(oci, running) == "paused"
    again = oci("pause", running)
    assert (again.status, again.message.startswith("container not running")) == (1, True)
    oci("resume", running).ok()
    assert status_of(oci, running) == "running"
    again = oci("resume", running)
    assert (again.status, again.message.startswith("container not paused")) == (1, True)


def test_list_has_all_of_them(oci: Command, bundle: Bundle, running: str) -> None:
    oci.create(bundle("sleep", "1"), "c2").ok()
    rows = {row["id"]: row for row in json.loads(oci("list", "-f", "json").text)}
    assert {row["status"] for row in rows.values()} == {"running", "created"}
    assert rows["c1"]["owner"] == "root"
    assert oci("list", "-q").text == "c1\nc2\n"
    table = [line.split() for line in oci("list").text.splitlines()]
    assert table[0] == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert table[1][:3] == ["c1", str(rows["c1"]["pid"]), "running"]


def test_create_in_a_group_in_use_is_refused_and_ends_nothing(oci: Command, bundle: Bundle) -> None:
    made = bundle("sleep", "100")
    oci.detach(made, "c1").ok()
    assert "has processes: name another cgroupsPath" in oci.create(made, "c2").message
    assert status_of(oci, "c1") == "running"
    assert groups_left(made) != []
    assert [path.name for path in oci.root.iterdir()] == ["c1"]


def test_ps_lines_are_of_the_container_alone(oci: Command, running: str) -> None:
    pid = oci.state(running)["pid"]
    assert json.loads(oci("ps", "-f", "json", running).text) == [pid]
    title, *lines = oci("ps", running).text.splitlines()
    assert title.split()[:2] == ["UID", "PID"]
    assert [line.split()[1] for line in lines] == [str(pid)]
    assert oci("ps", running, "-o", "pid,args").text.splitlines()[1].split() == [str(pid), "sleep", "100"]


@pytest.mark.vm
def test_events_figures_once(oci: Command, running: str) -> None:
    event = json.loads(oci("events", "--stats", running).text)
    assert (event["type"], event["id"]) == ("stats", running)
    assert event["data"]["pids"]["current"] == 1
    assert event["data"]["memory"]["usage"]["usage"] > 0
    assert event["data"]["cpu"]["usage"]["total"] > 0


def test_events_tell_of_the_oom_killer_and_end_with_the_container(oci: Command, bundle: Bundle) -> None:
    def little(spec: dict[str, Any]) -> None:
        spec["linux"]["resources"]["memory"] = {"limit": 16 << 20, "swap": 16 << 20}

    eat = "until [ -e /proc/1/oom_go ]; do sleep 0.3; break; done; (tail /dev/zero) ; sleep 0.5"
    oci.create(bundle("sh", "-c", eat, change=little), "c1").ok()
    with oci.start("events", "--interval", "200ms", "c1", stdout=subprocess.PIPE) as events:
        assert events.stdout is not None
        first = json.loads(events.stdout.readline())
        oci("start", "c1").ok()
        kinds = [first["type"], *(json.loads(line)["type"] for line in events.stdout)]
        assert events.wait(20) == 0
    assert kinds[0] == "stats"
    assert "oom" in kinds


def test_debug_log_and_json(oci: Command, tmp_path: Path) -> None:
    line = [*oci.line(), "--debug", "--log", str(tmp_path / "log"), "--log-format", "json", "state", "nope"]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    entries = [json.loads(entry) for entry in (tmp_path / "log").read_text().splitlines()]
    assert [entry["level"] for entry in entries] == ["debug", "error"]
    assert done.stderr == f"{entries[-1]['msg']}\n"


# ---- killed at any instruction, and many at once ----


def test_create_killed_at_any_moment_is_cleaned_up_by_force(oci: Command, bundle: Bundle) -> None:
    made = bundle("sleep", "100")
    began = time.monotonic()
    oci.create(made, "c1").ok()
    usual = time.monotonic() - began
    oci("delete", "-f", "c1").ok()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    left = set()
    for step in range(20):
        with oci.start("create", "--bundle", made, "c1", **quiet) as process:
            time.sleep(usual * (0.4 + 0.03 * step))
            process.kill()
        left.add(oci("state", "c1").status)
        oci("delete", "--force", "c1").ok()
        assert list(oci.root.iterdir()) == []
        until(lambda: groups_left(made) == [])
    oci.create(made, "c1").ok()
    assert left == {0, 1}, "every create was killed too early, or too late"


def test_create_s_process_is_known_by_the_helper_s_word_alone(oci: Command, bundle: Bundle) -> None:
    """So that who asked for it may be killed before it hears, and one file is written less."""
    oci.create(bundle("sleep", "100"), "c1").ok()
    assert json.loads((oci.root / "c1/state.json").read_text())["pid"] == 0
    pid = oci.state("c1")["pid"]
    assert Path(f"/proc/{pid}").exists()
    assert status_of(oci, "c1") == "created"
    oci("delete", "--force", "c1").ok()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_create_same_id_many_at_once_one_wins(oci: Command, bundle: Bundle) -> None:
    bundles = [bundle("sleep", "100") for _ in range(6)]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [oci.start("create", "--bundle", made, "c1", **quiet) for made in bundles]
    assert sorted(process.wait(60) for process in started) == [0, 1, 1, 1, 1, 1]
    assert status_of(oci, "c1") == "created"
    deletions = [oci.start("delete", "--force", "c1", **quiet) for _ in range(4)]
    assert [process.wait(60) for process in deletions] == [0, 0, 0, 0]
    assert list(oci.root.iterdir()) == []


def test_owner_killed_detached_container_lives_on(oci: Command, bundle: Bundle) -> None:
    """`run` in the foreground is killed: the container is not its own, and goes on for `delete` to end."""
    with oci.start("run", "--bundle", bundle("sleep", "100"), "c1") as process:
        until(lambda: oci("state", "c1").status == 0 and status_of(oci, "c1") == "running")
        process.kill()
    assert status_of(oci, "c1") == "running"
    os.kill(oci.state("c1")["pid"], 0)
