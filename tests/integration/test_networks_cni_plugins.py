"""What plugins are told, and what comes of what they answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import containerlib as cl
from rig.bundles import until
from rig.cni import Plugins, two

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
]


def test_plugins_are_told_what_the_specification_says(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins
) -> None:
    with two(engine, plugins).create() as network:
        with box.join(network).start("sleep", "600") as container:
            network.check(container)
            place = f"{engine.root}/netns/{container.id}"
        told = plugins.told("ADD", "CHECK", "DEL")
    assert [(one["command"], one["plugin"]) for one in told] == [
        ("ADD", "first"),
        ("ADD", "second"),
        ("CHECK", "first"),
        ("CHECK", "second"),
        ("DEL", "second"),
        ("DEL", "first"),
    ]
    result = {"cniVersion": "1.1.0", "ips": [{"address": "10.99.0.2/24"}]}
    assert told[0]["told"] == {"type": "first", "own": 1, "cniVersion": "1.1.0", "name": "two"}
    for one in told:
        assert (one["id"], one["netns"], one["interface"]) == (container.id, place, "eth0")
        assert one["path"] == str(plugins.directory)
        assert one is told[0] or one["told"]["prevResult"] == result


def test_names_of_the_result_are_the_containers(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins
) -> None:
    dns = {"nameservers": ["192.0.2.53"], "search": ["example.test"], "options": ["timeout:3"]}
    plugins.says("second", "ADD", f"echo '{json.dumps({'dns': dns})}'; exit")
    with two(engine, plugins).create() as network:
        with box.join(network).start("sleep", "600") as container:
            said = container.exec("cat", "/etc/resolv.conf").text
            assert "server c0000235 53" in Path(engine.root, "networks", f"{container.id}.view").read_text()
        assert {"search example.test", "nameserver 127.0.0.11"} <= set(said.splitlines())
        assert "timeout:3" in said
        assert (
            box.join(network)
            .dns(search=("own.test",))
            .run("cat", "/etc/resolv.conf")
            .text.count("search own.test")
            == 1
        )


def test_plugin_that_is_not_ready_takes_no_container(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins
) -> None:
    plugins.says("second", "STATUS", """echo '{"code":50,"msg":"no daemon"}'; exit 1""")
    with two(engine, plugins).create() as network:
        for ask in (network.status, lambda: box.join(network).run("true")):
            with pytest.raises(cl.Unavailable, match="no daemon"):
                ask()
        assert not plugins.told("ADD", "DEL")
        assert engine.containers.list() == []
        plugins.says("second", "STATUS", None)
        network.status()
        box.join(network).run("true")


def test_plugins_of_older_versions_are_not_asked_for_newer_verbs(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins
) -> None:
    with two(engine, plugins, cniVersion="1.0.0").create() as network:
        network.status()
        box.join(network).run("true")
        engine.prune()
    assert not plugins.told("STATUS", "GC")


@pytest.mark.parametrize("disabled", [False, True])
def test_prune_tells_plugins_who_is_there(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins, disabled: bool
) -> None:
    with (
        two(engine, plugins, disableGC=disabled).create() as network,
        box.join(network).start("sleep", "600") as one,
    ):
        assert engine.prune().failures == ()
        told = plugins.told("GC")
        assert [each["plugin"] for each in told] == ([] if disabled else ["first", "second"])
        for each in told:
            for key in ("cni.dev/valid-attachments", "cni.dev/attachments"):
                assert each["told"][key] == [{"containerID": one.id, "ifname": "eth0"}]
        plugins.says("first", "GC", """echo '{"code":11,"msg":"later"}'; exit 1""")
        assert ["later" in failure for failure in engine.prune().failures] == ([] if disabled else [True])


def test_plugin_that_refuses_leaves_nothing(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins, left_nothing: Any
) -> None:
    plugins.says("second", "ADD", """echo '{"code":101,"msg":"no room","details":"all are taken"}'; exit 1""")
    with two(engine, plugins).create() as network:
        with pytest.raises(cl.PluginError, match="second ADD: no room") as caught:
            box.join(network).run("true")
        error = caught.value
        assert (error.code, error.command, error.details) == (101, "ADD", "all are taken")
        assert error.plugin == f"{plugins.directory}/second"
        assert [one["plugin"] for one in plugins.told("DEL")] == ["second", "first"]
        assert "prevResult" not in plugins.told("DEL")[0]["told"]
        left_nothing()
        assert not list(Path(engine.root, "netns").glob("*[0-9a-f]"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo garbage; exit", "no JSON object"),
        ("echo '[]'; exit", "no JSON object"),
        ("exit", "it wrote no result"),
        ("echo too bad >&2; exit 3", "it ended with 3\n  | too bad"),
        ("kill -9 $$", "it was killed by signal 9"),
        ("""echo '{"ips":[{"address":"nowhere"}]}'; exit""", "'nowhere' is no address"),
        ("""echo '{"dns":{"search":["a b"]}}'; exit""", "no word of a resolv.conf"),
        ("yes", "more than 1048576 bytes"),
    ],
)
def test_plugin_that_answers_badly_is_told_of(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins, script: str, said: str
) -> None:
    plugins.says("first", "ADD", script)
    with two(engine, plugins).create() as network:
        with pytest.raises(cl.PluginError) as caught:
            box.join(network).run("true")
        assert said in str(caught.value)
        assert engine.containers.list() == []


def test_plugin_that_hangs_is_ended_with_what_it_started(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins, tmp_path: Path
) -> None:
    plugins.says("first", "ADD", f"echo waiting >&2; sleep 600 & echo $! > {tmp_path}/pid; wait")
    with two(engine, plugins).create() as network:
        with pytest.raises(cl.Timeout, match="no answer in 2 s") as caught:
            box.join(network).run("true")
        assert caught.value.log_tail == ("waiting",)
        until(lambda: not Path("/proc", (tmp_path / "pid").read_text().strip()).exists())
        assert engine.containers.list() == []


def test_plugin_may_leave_something_that_has_its_output(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins, tmp_path: Path
) -> None:
    """As one does that starts a daemon."""
    plugins.says("first", "ADD", f"sleep 600 & echo $! > {tmp_path}/pid")
    try:
        with two(engine, plugins).create() as network:
            box.join(network).run("true")
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_what_plugins_do_not_take_back_is_known_until_they_do(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins
) -> None:
    network = two(engine, plugins).create()
    plugins.says("first", "DEL", """echo '{"code":11,"msg":"busy"}'; exit 1""")
    box.join(network).run("true")
    assert engine.containers.list() == []
    with pytest.raises(cl.Conflict, match="have not taken back"):
        network.remove()
    (failure,) = engine.prune().failures
    assert "busy" in failure
    plugins.says("first", "DEL", None)
    Path(engine.root, "netns", "0" * 64).touch()  # of a process that was killed
    Path(engine.root, "netns", "1" * 64 + ".lock").touch()
    assert engine.prune().failures == ()
    assert plugins.told("DEL")[-1]["netns"] == ""  # which is no more
    network.remove()
    assert list(Path(engine.root, "netns").iterdir()) == []


def test_killed_while_a_plugin_is_at_work_is_taken_back_when_that_has_ended(
    engine: cl.Engine, box: cl.ContainerRecipe, plugins: Plugins, tmp_path: Path
) -> None:
    network = two(engine, plugins).create()
    place = tmp_path / "made"
    plugins.says(
        "first",
        "ADD",
        f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; touch {place} {tmp_path}/done",
    )
    plugins.says("first", "DEL", f"rm -f {place}")
    script = (
        "import sys, containerlib as cl\n"
        "engine = cl.Engine(sys.argv[1])\n"
        "engine.container(engine.images.list()[0]).join('lan').start('sleep', '600')\n"
    )
    process = subprocess.Popen([sys.executable, "-P", "-c", script, engine.root])
    until((tmp_path / "begun").exists)
    process.kill()
    process.wait()
    threading.Timer(0.5, (tmp_path / "go").touch).start()
    with cl.Engine(engine.root) as other:
        assert other.containers.list() == []
    until((tmp_path / "done").exists)
    assert not place.exists()
    assert [one["plugin"] for one in plugins.told("DEL")] == ["second", "first"]
    network.remove()
