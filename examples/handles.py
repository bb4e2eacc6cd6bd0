"""What a container that runs tells, and its files: read, written and copied from outside.

Run as root: `python examples/handles.py`
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import containerlib as cl

with tempfile.TemporaryDirectory(prefix="handles-") as place, cl.Engine(root=f"{place}/root") as engine:
    recipe = engine.container(engine.host_image()).name("worker").limit(memory="256MiB", pids=50)
    with recipe.start("sleep", "1000") as worker:
        (worker.path("/srv") / "greeting").write_text("hello from outside\n")
        print(worker.exec("cat", "/srv/greeting").text, end="")

        worker.exec("sh", "-c", "echo made inside > /srv/answer")
        worker.path("/srv").copy_out(f"{place}/srv")
        print(Path(f"{place}/srv/answer").read_text(), end="")

        for process in worker.top():
            print("process", process.container_pid, *process.argv)
        print("memory within its limit:", worker.stats().memory.usage_bytes < 256 * 1024**2)

        worker.update(memory="512MiB")
        print("limit now:", worker.inspect().limits.memory_bytes)

    print([event.action for event in engine.events(subject="worker")])
