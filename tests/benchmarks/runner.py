"""Runs peers' commands in a mount namespace without the cgroup v2 tree beside v1, and times them.

crun 1.8 refuses the hybrid layout. A small process of its own, entered once, unmounts that tree for itself
and then starts every peer, so that the peers do not pay for a larger caller either. It adopts what the peers
leave running (monitors), and ends it when it ends. A caller that is interrupted while a command runs gets another one:
what would answer the next request is the answer to the last.

    runner = Runner()
    answer = runner.run("crun", "--version")        # .seconds .code .output
    runner.close()

A line of JSON each way: {"argv": [...]} -> {"seconds": ..., "code": ..., "output": ...}.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
MNT_DETACH = 2


@dataclass(frozen=True)
class Answer:
    seconds: float
    code: int
    output: str


class CommandError(Exception):
    """A peer's command exited with something else than zero."""


class Runner:
    """The caller's side: starts the small process, and asks it."""

    def __init__(self, enter: Sequence[str] = (), prepare: str = ":") -> None:
        """`enter` is before the command, in a host's network; `prepare` is what a shell does there first."""
        self._enter, self._prepare = tuple(enter), prepare
        self._process = self._start()

    @property
    def enter(self) -> tuple[str, ...]:
        """What is before a command that is to run there beside the others."""
        return ("nsenter", "--mount", "--target", str(self._process.pid))

    def close(self) -> None:
        """Ends the small process, and by it everything that the peers left running."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def run(self, *argv: str, check: bool = True) -> Answer:
        """Raises CommandError where `check` and the command exits with something else than zero."""
        try:
            line = self._ask(json.dumps({"argv": argv}))
        except BaseException:
            self._process.terminate()
            self.close()
            self._process = self._start()
            raise
        if not line:
            raise CommandError("the runner of peers' commands is gone")
        answer = Answer(**json.loads(line))
        if check and answer.code != 0:
            last = answer.output.strip().splitlines()[-1:]
            raise CommandError(f"{' '.join(argv[:1])}: exit code {answer.code}: {' '.join(last)}")
        return answer

    def seconds(self, *argv: str) -> float:
        return self.run(*argv).seconds

    def _start(self) -> subprocess.Popen[str]:
        """In a session of its own: a terminal's interrupt is for the caller, who still has to clear away."""
        shell = ("sh", "-c", f'set -e; {self._prepare}; exec "$@"', "sh", sys.executable, "-S", __file__)
        command = [*self._enter, "unshare", "--mount", "--propagation", "private", *shell]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, bufsize=1, start_new_session=True
        )

    def _ask(self, request: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{request}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


def serve() -> None:
    """The small process: one command after the other until its input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if libc.umount2(b"/sys/fs/cgroup/unified", MNT_DETACH) == 0:
        # crun makes directories there all the same: they are to end with this mount namespace
        libc.mount(b"none", b"/sys/fs/cgroup/unified", b"tmpfs", 0, None)
    try:
        with tempfile.TemporaryFile() as output:
            for line in sys.stdin:
                print(json.dumps(run_one(json.loads(line)["argv"], output.fileno())), flush=True)
                reap()
    except BrokenPipeError:  # the caller was killed while a command ran
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        end_children()


def run_one(argv: list[str], output: int) -> dict[str, object]:
    os.ftruncate(output, 0)
    os.lseek(output, 0, os.SEEK_SET)
    started = time.perf_counter()
    try:
        code = subprocess.run(
            argv, check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ).returncode
    except OSError as error:
        return {"seconds": 0.0, "code": 127, "output": str(error)}
    seconds = time.perf_counter() - started
    text = os.pread(output, 100_000, 0).decode(errors="replace")
    return {"seconds": seconds, "code": code, "output": text}


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def end_children() -> None:
    """Ends what the peers left running: this process adopted it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        reap()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        if not children:
            return
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        time.sleep(0.02)


if __name__ == "__main__":
    serve()
