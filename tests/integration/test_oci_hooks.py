"""Hooks: where each kind runs, what it is told, and what its failure does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import StageError
from containerlib.runtime.unsupervised import run_hooks
from rig.bundles import Rack, until
from rig.oci import Bundle, Command

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
ON_THE_HOST = ("prestart", "createRuntime", "poststart", "poststop")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A directory that hooks write into, from the host and from inside."""
    directory = tmp_path / "record"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def writer(record: Path, kind: str) -> dict[str, Any]:
    """A hook that keeps its input, its environment and the namespaces that it is in."""
    place = record / kind
    told = f"cat >{place}; echo $WORD >{place}.env; for n in mnt uts; do readlink /proc/self/ns/$n; done >{place}.ns"
    body = f"{told}; echo $0 $1 >{place}.args"
    return {
        "path": "/bin/sh",
        "args": ["sh", "-c", body, "zero", "one"],
        "env": [f"WORD={kind}", "PATH=/bin:/usr/bin"],
    }


def namespaces(pid: int) -> list[str]:
    return [str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("mnt", "uts")]


def bind(record: Path) -> dict[str, Any]:
    return {"destination": str(record), "type": "bind", "source": str(record), "options": ["bind", "rw"]}


def test_hooks_of_every_kind_are_told_the_state_where_they_belong(rack: Rack, record: Path) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = {kind: [writer(record, kind)] for kind in KINDS}
        spec["mounts"].append(bind(record))
        spec["annotations"] = {"word": 'a "quoted" value'}

    container = rack.create("sleep", "60", change=change, hold=True)
    assert {path.name for path in record.glob("*[a-z]") if "." not in path.name} == set(KINDS[:3])
    container.supervisor.start()
    until((record / "poststart.args").exists)
    pid = container.supervisor.pid
    inside = namespaces(pid)
    container.supervisor.signal(9)
    container.finish()
    until((record / "poststop.args").exists)
    status = {"startContainer": "created", "poststart": "running", "poststop": "stopped"}
    here = namespaces(os.getpid())
    for kind in KINDS:
        state = json.loads((record / kind).read_text())
        assert state.pop("pid", None) == (None if kind == "poststop" else pid)
        assert state == {
            "ociVersion": container.spec["ociVersion"],
            "id": Path(container.directory).name,
            "status": status.get(kind, "creating"),
            "bundle": container.directory,
            "annotations": {"word": 'a "quoted" value'},
        }
        assert (record / f"{kind}.env").read_text().strip() == kind
        assert (record / f"{kind}.args").read_text().split() == ["zero", "one"]
        found = (record / f"{kind}.ns").read_text().split()
        assert found == (here if kind in ON_THE_HOST else inside), kind


def test_hooks_of_one_kind_run_in_order(rack: Rack, record: Path) -> None:
    def hook(word: str) -> dict[str, Any]:
        return {"path": "/bin/sh", "args": ["sh", "-c", f"echo {word} >>{record}/order"]}

    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = {
            "createRuntime": [hook("second"), hook("third")],
            "prestart": [hook("first")],
            "createContainer": [{**hook("fourth")}],
        }
        spec["mounts"].append(bind(record))

    rack.run("true", change=change)
    assert (record / "order").read_text().split() == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize("kind", KINDS[:4])
def test_hook_that_fails_ends_the_start_and_says_which(rack: Rack, kind: str) -> None:
    def change(spec: dict[str, Any]) -> None:
        good, bad = ({"path": "/bin/sh", "args": ["sh", "-c", f"exit {code}"]} for code in (0, 7))
        spec["hooks"] = {kind: [good, bad]}

    with pytest.raises(StageError, match="exit code 7") as caught:
        rack.create("touch", "/ran", change=change, name="failing")
    assert (caught.value.stage, caught.value.detail) == ("hook", f"hooks.{kind}[1] /bin/sh")
    assert not (rack.directory / "failing/upper/ran").exists()


def test_poststart_hook_that_fails_ends_the_container(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = {"poststart": [{"path": "/bin/false"}]}

    with pytest.raises(StageError, match=r"poststart\[0\] /bin/false"):
        rack.create("sleep", "60", change=change)


def test_poststop_hook_that_fails_stops_neither_the_others_nor_the_end(rack: Rack, record: Path) -> None:
    def change(spec: dict[str, Any]) -> None:
        good = {"path": "/bin/sh", "args": ["sh", "-c", f"echo ran >{record}/second"]}
        spec["hooks"] = {"poststop": [{"path": "/bin/false"}, good]}

    assert rack.run("sh", "-c", "exit 4", change=change).status.exit_code == 4
    assert (record / "second").read_text() == "ran\n"


def test_hook_that_takes_too_long_is_killed(rack: Rack, record: Path) -> None:
    def change(spec: dict[str, Any]) -> None:
        body = f"echo $$ >{record}/pid; exec sleep 60"
        spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", body], "timeout": 1}]}

    with pytest.raises(StageError, match="ETIMEDOUT"):
        rack.create("true", change=change)
    assert not Path(f"/proc/{(record / 'pid').read_text().strip()}").exists()


def test_hook_that_is_not_there_says_so(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = {"prestart": [{"path": "/no/such/hook"}]}

    with pytest.raises(StageError, match="ENOENT") as caught:
        rack.create("true", change=change)
    assert caught.value.detail == "hooks.prestart[0] /no/such/hook"


def test_hook_that_fails_at_start_of_a_created_container_says_which(rack: Rack) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = {"startContainer": [{"path": "/bin/false"}]}

    container = rack.create("sleep", "60", change=change, hold=True)
    with pytest.raises(StageError, match=r"startContainer\[0\] /bin/false"):
        container.supervisor.start()


def test_hooks_without_a_shim_are_run_and_told_of(record: Path) -> None:
    spec: Any = {"ociVersion": "1.3.0", "hooks": {"poststop": [writer(record, "poststop")]}}
    run_hooks("poststop", spec, container_id="x", bundle="/b")
    assert json.loads((record / "poststop").read_text())["status"] == "stopped"
    spec["hooks"]["poststart"] = [writer(record, "poststart"), {"path": "/bin/false"}]
    with pytest.raises(StageError, match=r"poststart\[1\] /bin/false"):
        run_hooks("poststart", spec, container_id="x", bundle="/b", pid=17)
    assert json.loads((record / "poststart").read_text())["pid"] == 17


# ---- the command's, as runc's ----


def commanded(
    record: Path, busybox_rootfs: Path, oci: Command, bundle: Bundle, **hook: Any
) -> dict[str, list[str]]:
    """Of each kind what a hook of it has: its directory, and its environment, in lines."""

    def change(spec: dict[str, Any]) -> None:
        script = "cd -P .; pwd; env"
        spec["hooks"] = {
            kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"({script}) >{record}/{kind}"], **hook}]
            for kind in KINDS
        }
        spec["process"]["env"].append("OF=process")
        spec["mounts"].append(bind(record))

    oci("run", "--bundle", bundle("true", change=change), "c1", env={"OF": "runtime"}).ok()
    return {kind: (record / kind).read_text().splitlines() for kind in KINDS}


def test_hook_without_an_environment_has_the_runtimes_or_the_programs(
    record: Path, busybox_rootfs: Path, oci: Command, bundle: Bundle
) -> None:
    found = commanded(record, busybox_rootfs, oci, bundle)
    of = {kind: [line for line in lines if line.startswith("OF=")] for kind, lines in found.items()}
    assert of.pop("startContainer") == ["OF=process"]
    assert set(map(tuple, of.values())) == {("OF=runtime",)}


def test_hook_with_an_empty_environment_inherits_nothing(
    record: Path, busybox_rootfs: Path, oci: Command, bundle: Bundle
) -> None:
    found = commanded(record, busybox_rootfs, oci, bundle, env=[])
    assert not [line for lines in found.values() for line in lines if line.startswith(("OF=", "HOME="))]


def test_hook_works_in_the_bundle_or_in_the_root(
    record: Path, busybox_rootfs: Path, oci: Command, bundle: Bundle
) -> None:
    found = {kind: lines[0] for kind, lines in commanded(record, busybox_rootfs, oci, bundle).items()}
    assert found["prestart"] == found["createRuntime"] == str(record.with_name(Path(found["prestart"]).name))
    assert Path(found["prestart"], "config.json").is_file()
    assert found["createContainer"] == str(busybox_rootfs)
    assert found["startContainer"] == found["poststart"] == found["poststop"] == "/"


@pytest.mark.parametrize("kind", KINDS[:5])
def test_command_names_the_hook_that_failed(oci: Command, bundle: Bundle, kind: str) -> None:
    def change(spec: dict[str, Any]) -> None:
        good, bad = ({"path": "/bin/sh", "args": ["sh", "-c", f"exit {code}"]} for code in (0, 7))
        spec["hooks"] = {kind: [good, bad]}

    answer = oci("run", "--bundle", bundle("true", change=change), "c1")
    assert answer.status == 1
    assert f"error running {kind} hook #1: " in answer.message
    assert "it ended with exit code 7" in answer.message


def test_delete_warns_of_a_poststop_hook_that_failed(oci: Command, bundle: Bundle) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = {"poststop": [{"path": "/bin/false"}]}

    oci.create(bundle("true", change=change), "c1").ok()
    answer = oci("delete", "--force", "c1")
    assert answer.status == 0
    assert "level=warning" in answer.stderr
    assert "error running poststop hook #0: " in answer.message
    assert "it ended with exit code 1" in answer.message
