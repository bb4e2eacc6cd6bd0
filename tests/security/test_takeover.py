"""What is left to whoever has got hold of a process between runtime and program, and when somebody dies there."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from containerlib._sys.native import lib
from containerlib._sys.wire import Message
from containerlib.errors import StageError
from rig.bundles import Rack, until
from rig.takeover import take_socket

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def test_shim_runs_no_hook_on_the_host_for_who_took_over_the_first_process(
    rack: Rack, tmp_path: Path
) -> None:
    """The container's own hook names a program in the container; on the host, as root, it would be another."""
    witness = tmp_path / "witness"

    def change(spec: dict[str, Any]) -> None:
        spec["hooks"] = {"startContainer": [{"path": "/bin/touch", "args": ["touch", str(witness)]}]}

    container = rack.create("sleep", "60", hold=True, change=change)
    plan_length = 200
    os.kill(container.supervisor.pid, signal.SIGSTOP)  # it would take the answers
    with take_socket(container.supervisor.pid) as channel:
        channel.settimeout(5.0)
        for index in range(plan_length):
            for count in (1, 2, 2**31 - 1):
                request = Message(lib.CLIB_MESSAGE_HANDOVER, (index, count, -1, 0))
                channel.send(request.pack())
                answer = Message.unpack(channel.recv(100))
                assert answer is not None
                assert answer.kind == lib.CLIB_MESSAGE_FAILED, (index, count)
    assert not witness.exists()


def processes(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if word.encode() in line.split(b"\0"):
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize(
    "kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]
)
def test_container_whose_hook_never_ends_dies_with_its_owner(
    rack: Rack, tmp_path: Path, busybox_rootfs: Path, kind: str
) -> None:
    seconds = str(86_400 + os.getpid())
    code = f"""
        import json, sys
        sys.path[:0] = json.loads(sys.argv[1])
        from pathlib import Path
        from rig.bundles import Rack
        hook = {{"path": "/bin/sleep", "args": ["sleep", {seconds!r}]}}
        rack = Rack(Path({str(rack.directory)!r}), ({str(busybox_rootfs)!r},))
        print("ready", flush=True)
        rack.create("sleep", "60", change=lambda spec: spec.update(hooks={{{kind!r}: [hook]}}))
    """
    argv = [sys.executable, "-c", textwrap.dedent(code), json.dumps(sys.path)]
    try:
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as owner:
            until(lambda: processes(seconds))
            owner.send_signal(signal.SIGKILL)
        until(lambda: not processes(seconds))
    finally:
        for pid in processes(seconds):
            os.kill(int(pid), signal.SIGKILL)
    (directory,) = rack.directory.glob("?" * 64)
    config = json.loads((directory / "config.json").read_text())
    groups = list(Path("/sys/fs/cgroup").glob(f"*{config['linux']['cgroupsPath']}"))
    until(lambda: not any(group.exists() for group in groups))


@pytest.mark.parametrize("limit", [40, 100, 128, 150])
def test_caller_with_few_descriptors_gets_a_whole_container_or_an_error(rack: Rack, limit: int) -> None:
    """What has no room for its descriptors must not start without them."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        done = rack.run("sh", "-c", "echo out; echo err >&2; exit 3")
    except (StageError, OSError):
        return
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (done.status.exit_code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
