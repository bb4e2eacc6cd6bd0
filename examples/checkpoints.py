"""A running container as an image: checkpointed, pushed, pulled by another engine, and restored with its task running.

Run as root: `python examples/checkpoints.py`. Needs the programs criu (4.2) and docker-registry.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import containerlib as cl

COUNT = "i=0; while :; do i=$((i+1)); echo count $i; sleep 0.1; done"


def make_root(root: Path, *programs: str) -> Path:
    """A root file system of programs of this machine, with the libraries that they need."""
    for program in programs:
        listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        for file in (program, *re.findall(r"(/\S+)", listed)):
            target = root / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    return root


def counts(container: cl.Container) -> list[str]:
    """What it has counted so far, one at least."""
    while not (lines := [record.text for record in container.logs()]):
        time.sleep(0.05)
    return lines


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


with tempfile.TemporaryDirectory(prefix="checkpoints-") as folder:
    port, configuration = free_port(), Path(folder, "registry.yml")
    configuration.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/blobs}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    registry = subprocess.Popen(["docker-registry", "serve", configuration], stderr=subprocess.DEVNULL)
    reference = f"127.0.0.1:{port}/checkpoints/counter:latest"
    try:
        with cl.Engine(f"{folder}/one") as engine, cl.Engine(f"{folder}/two") as elsewhere:
            image = engine.images.import_(
                make_root(Path(folder, "files"), "/bin/sh", "/bin/sleep"), "counter:1"
            )
            with engine.container(image).name("counter").start("sh", "-c", COUNT) as counter:
                print(counts(counter)[0])
                checkpoint = counter.checkpoint()
                print("last:", counts(counter)[-1], "and it is", counter.state.value)
            digest = checkpoint.push(reference)

            # on another machine: another store, another network
            pulled = elsewhere.image(reference).pull()
            print("the same:", pulled.digest == digest)
            with pulled.restore(name="counter-again") as again:
                print("goes on:", counts(again)[0])
                with again.fork(1)[0] as copy:
                    print("a live copy:", copy.name != again.name, copy.state.value)
            print("left:", elsewhere.containers.list())

            # kept while it runs, by its supervisor alone, for a restart to go on from
            recipe = engine.container(image).checkpoint_every(0.2).restart("on-failure", from_checkpoint=True)
            with recipe.start("sh", "-c", COUNT) as kept:
                while not kept.checkpoints():
                    time.sleep(0.05)
                os.kill(kept.inspect().pid or 0, signal.SIGKILL)  # as a bug would end it
                while kept.restart_count == 0 or kept.state is not cl.State.RUNNING:
                    time.sleep(0.05)
                print("after a crash it began anew:", counts(kept).count("count 1") > 1)
    finally:
        registry.terminate()
        registry.wait()
