"""The main job, with no registry and no image at hand: containers made of this machine's own files.

Run as root: `python examples/demo.py`
"""

from __future__ import annotations

import tempfile
import time

import containerlib as cl


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="demo-") as root, cl.Engine(root=root) as engine:
        run_a_command(engine)
        keep_one_running(engine)


def run_a_command(engine: cl.Engine) -> None:
    """A container runs one command, its output comes back, and it is gone."""
    host = engine.container(engine.host_image()).hostname("demo").limit(memory="256MiB", pids=100)
    script = 'echo "process $$ on $(hostname), $(uname -sr)"; exit 3'
    started = time.perf_counter()
    done = host.run("sh", "-c", script, check=False)
    took = milliseconds_since(started)
    say("a command in a container of its own", done.text.strip())
    say("its exit code", str(done.exit_code))
    say("container made, run and removed in", took)


def keep_one_running(engine: cl.Engine) -> None:
    """A detached container outlives this program, unless it is stopped."""
    script = 'echo ready; trap "echo asked to stop; exit 0" TERM; while :; do sleep 0.1; done'
    recipe = engine.container(engine.host_image()).name("keeper")
    started = time.perf_counter()
    container = recipe.start("sh", "-c", script, detach=True)
    say("a detached container, started in", milliseconds_since(started))
    say("its name and state", f"{container.name}, {container.state.value}")
    container.wait_for(log="ready", timeout=10.0)

    started = time.perf_counter()
    processes = container.exec("sh", "-c", "ls -d /proc/[0-9]* | wc -l").text.strip()
    say("processes in it, counted by exec", processes)
    say("exec answered in", milliseconds_since(started))

    container.stop(timeout=10.0)
    status = container.wait(timeout=10.0)
    say("its log", " / ".join(record.text for record in container.logs()))
    say("stopped, with exit code", str(status.exit_code))
    container.remove()


def milliseconds_since(started: float) -> str:
    return f"{(time.perf_counter() - started) * 1000:.1f} ms"


def say(what: str, value: str) -> None:
    print(f"{what + ':':<40}{value}")


if __name__ == "__main__":
    try:
        main()
    except cl.Unsupported as error:  # without root
        raise SystemExit(str(error)) from error
