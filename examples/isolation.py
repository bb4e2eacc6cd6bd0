"""What a container may see and do: no network, a read-only root, a few directories, and limits.

Run as root: `python examples/isolation.py`
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import containerlib as cl

with tempfile.TemporaryDirectory(prefix="isolation-") as folder, cl.Engine(root=f"{folder}/root") as engine:
    shared = Path(folder, "shared")
    shared.mkdir()
    shared.joinpath("question").write_text("6 x 7\n")

    # a recipe is a value: each word returns a new one, and nothing happens before the verb
    quiet = engine.container(engine.host_image()).limit(memory="128MiB", cpus=1.0, pids=32)
    sealed = quiet.read_only().cap_drop("ALL").env(LANG="C")
    with_files = sealed.mount(shared, at="/mnt")

    print("links:", sealed.run("ls", "/sys/class/net").text.split())
    print("capabilities:", sealed.run("grep", "CapEff", "/proc/self/status").text.split()[1])
    print("read-only:", sealed.run("touch", "/etc/changed", check=False).stderr.decode().strip())

    with_files.run("sh", "-c", "test -s /mnt/question && echo 42 > /mnt/answer")
    print("answer:", shared.joinpath("answer").read_text().strip())

    # what a container writes is its own: this machine's file system is untouched
    quiet.run("sh", "-c", "echo gone > /etc/containerlib-example")
    assert not Path("/etc/containerlib-example").exists()
