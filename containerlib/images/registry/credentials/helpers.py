"""Credential helpers: programs that ask a keychain or a cloud for what a registry wants to see.

    docker-credential-NAME get   <- the server's name on standard input
                                 -> {"ServerURL": ..., "Username": ..., "Secret": ...}

This is the one place where a program of the user's is run, and only when a registry asks for credentials.

Spec: docker/docker-credential-helpers, "Development".
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from subprocess import PIPE, Popen, TimeoutExpired
from typing import IO, cast

from containerlib.errors import InvalidArgument, Timeout, Unavailable, printable
from containerlib.spec.auth import Auth, BasicAuth, IdentityToken
from containerlib.spec.document import Document

__all__ = ["ask_helper"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_NOT_FOUND = (
    "credentials not found in native keychain",
    "no credentials server url",
    "no credentials username",
)
_MAX_OUTPUT = 1024 * 1024
_PIECE = 64 * 1024
_IDENTITY_TOKEN = "<token>"  # noqa: S105 - the word that says what the secret is


def ask_helper(name: str, server: str, *, environ: Mapping[str, str], timeout: float) -> Auth | None:
    """What `docker-credential-<name>` keeps for `server`; None where it keeps nothing. Blocks.

    Raises: InvalidArgument for a name that is none; Unavailable where the helper is missing or fails; Timeout.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"{name[:100]!r} is no helper's name", field="credHelpers")
    program = f"docker-credential-{name}"
    path = shutil.which(program, path=environ.get("PATH", os.defpath))
    if path is None:
        raise Unavailable(f"{program} is not on PATH: install it, or remove it from the file that names it")
    code, output = _run(path, server, environ, timeout)
    if code != 0:
        message = output.decode(errors="replace").strip()
        if message.lower().startswith(_NOT_FOUND):
            return None
        said = (
            "" if message.startswith("{") else f": {printable(message[:300])}"
        )  # never what could be a secret
        raise Unavailable(f"{program} could not be asked for {server} (it ended with {code}){said}")
    return _read(output, program)


def _run(path: str, server: str, environ: Mapping[str, str], timeout: float) -> tuple[int, bytes]:
    """The exit code and what was printed. A helper that takes too long ends, with whatever it started."""
    try:
        process = Popen(
            [path, "get"], bufsize=0, stdin=PIPE, stdout=PIPE, env=dict(environ), start_new_session=True
        )
    except OSError as error:
        raise Unavailable(f"{path} cannot be run ({error.strerror}): install it anew") from error
    with process:
        try:
            output = _talk(process, server.encode(), timeout)
            if len(output) > _MAX_OUTPUT:
                raise Unavailable(f"{path} wrote more than {_MAX_OUTPUT} bytes, which are no credentials")
        except BaseException as error:
            _kill(process)  # not waited for yet, so the number is still its own
            if isinstance(error, TimeoutExpired):
                raise Timeout(f"{path} gave no answer in {timeout:g} s: see what it waits for") from None
            raise
    return process.returncode, output


def _talk(process: Popen[bytes], question: bytes, timeout: float) -> bytes:
    """What it writes until its end, a little more than is allowed at most. Raises: TimeoutExpired."""
    deadline = time.monotonic() + timeout
    written = bytearray()

    def listen(pipe: IO[bytes]) -> None:
        with suppress(ValueError, OSError):  # it was closed meanwhile
            while len(written) <= _MAX_OUTPUT and (piece := pipe.read(_PIECE)):
                written.extend(piece)

    with cast("IO[bytes]", process.stdin) as pipe, suppress(BrokenPipeError):  # it may not care
        pipe.write(question)
    listener = threading.Thread(
        target=listen, args=(process.stdout,), name="containerlib-helper", daemon=True
    )
    listener.start()
    listener.join(timeout)
    if listener.is_alive():
        raise TimeoutExpired(process.args, timeout)
    if len(written) <= _MAX_OUTPUT:
        process.wait(max(0.0, deadline - time.monotonic()))
    return bytes(written)


def _kill(process: Popen[bytes]) -> None:
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _read(output: bytes, program: str) -> Auth | None:
    try:
        document = Document.parse(output, program)
        username, secret = document.text("Username", default=""), document.text("Secret", default="")
    except InvalidArgument:
        raise Unavailable(f"{program} answered with something that is no credentials") from None
    if not secret:
        return None
    return IdentityToken(secret) if username == _IDENTITY_TOKEN else BasicAuth(username, secret)
