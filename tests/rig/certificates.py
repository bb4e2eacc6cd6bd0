"""Certificates and passwords of a test's own registry."""

from __future__ import annotations

import ctypes
import ctypes.util
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Self-signed, so that its file is its CA's file too. `directory` is what skopeo's --dest-cert-dir takes."""

    directory: Path
    file: Path
    key: Path

    @classmethod
    def make(cls, directory: Path, address: str) -> Certificate:
        """By openssl, for an IP address, valid for a day."""
        certificate = cls(directory / "trusted", directory / "trusted/ca.crt", directory / "key.pem")
        certificate.directory.mkdir(parents=True)
        options = ["-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=registry of a test"]
        for extension in (f"subjectAltName=IP:{address}", "keyUsage=digitalSignature,keyCertSign"):
            options += ["-addext", extension]
        command = ["openssl", "req", "-x509", *options]
        files = ["-keyout", str(certificate.key), "-out", str(certificate.file)]
        subprocess.run([*command, *files], check=True, capture_output=True)
        return certificate


def htpasswd_line(username: str, password: str) -> str | None:
    """What `htpasswd -nbB` prints, by the C library's crypt; None where that has no bcrypt."""
    name = ctypes.util.find_library("crypt")
    if name is None:
        return None
    crypt = ctypes.CDLL(name).crypt
    crypt.argtypes, crypt.restype = [ctypes.c_char_p, ctypes.c_char_p], ctypes.c_char_p
    hashed = crypt(password.encode(), b"$2y$05$" + b"containerlib" + b"." * 10) or b""
    return f"{username}:{hashed.decode()}\n" if hashed.startswith(b"$2y$") else None
