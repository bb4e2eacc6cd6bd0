"""A container that outlives its program: started by one engine, found again by name by another.

Run as root: `python examples/detached.py`
"""

from __future__ import annotations

import tempfile

import containerlib as cl

SCRIPT = "i=0; while :; do i=$((i + 1)); echo line $i; sleep 0.05; done"

with tempfile.TemporaryDirectory(prefix="detached-") as root:
    with cl.Engine(root=root) as first:
        recipe = first.container(first.host_image()).name("counter")
        recipe.start("sh", "-c", SCRIPT, detach=True)

    # the engine is closed; its supervisor keeps the container, the log and the exit record
    with cl.Engine(root=root) as second:
        counter = second.containers.get("counter")
        counter.wait_for(log="line 3", timeout=10.0)
        print([(container.name, container.state.value) for container in second.containers.list()])
        for record in counter.logs():
            print(record.stream, record.text)
            if record.text == "line 3":
                break
        counter.kill()
        print("ended by signal", counter.wait(timeout=10.0).signal)
        counter.remove()
