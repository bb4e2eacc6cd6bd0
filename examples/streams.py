"""Bytes in, bytes out: input for a command, a process with real pipes, and errors that carry what happened.

Run as root: `python examples/streams.py`
"""

from __future__ import annotations

import tempfile

import containerlib as cl

with tempfile.TemporaryDirectory(prefix="streams-") as root, cl.Engine(root=root) as engine:
    host = engine.container(engine.host_image())

    # stdin is bytes; stdout and stderr come back apart
    sorted_lines = host.run("sort", "-r", input=b"alpha\nbeta\n").stdout
    assert sorted_lines == b"beta\nalpha\n"

    # a running process has real pipes, as subprocess.Popen's
    with host.spawn("cat") as process:
        process.stdin.write(b"over the pipe\n")
        process.stdin.close()
        print(process.stdout.read().decode(), end="")
        assert process.wait(timeout=10.0).exit_code == 0

    # a long command shows its output while it runs: on sys.stdout and sys.stderr, or to a function
    host.run("sh", "-c", "echo step 1; echo step 2", stream=True)
    host.run("sh", "-c", "echo step 3", stream=lambda name, data: print(f"{name}: {data!r}"))

    # a status other than zero raises, unless check=False
    try:
        host.run("sh", "-c", "echo no such luck >&2; exit 4")
    except cl.ExitError as error:
        print(error.exit_code, error.stderr.decode().strip())

    # a command that is not there is another kind of error: the container never ran
    try:
        host.run("/no/such/program")
    except cl.StageError as error:
        print(error.exit_code, error)
