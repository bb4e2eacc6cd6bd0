"""A client of redis that waits for each answer, and notes how long: run as a program, where the server is.

The server gets so many keys of 1000 bytes first, which can be compressed to half of that. For each line of its input it
prints the longest wait since the last.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

VALUE_BYTES = 1000
BATCH = 1000
PORT = 6379
BETWEEN_SECONDS = 0.001


def main(keys: int) -> None:
    connection = connected()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answers = connection.makefile("rb")
    for first in range(0, keys, BATCH):
        connection.sendall(b"".join(map(stored, range(first, min(first + BATCH, keys)))))
        for _ in range(first, min(first + BATCH, keys)):
            assert answers.readline() == b"+OK\r\n"
    longest = 0.0
    while True:
        if select.select([sys.stdin], [], [], BETWEEN_SECONDS)[0]:
            if not sys.stdin.readline():
                return
            print(longest, flush=True)
            longest = 0.0
        asked = time.perf_counter()
        connection.sendall(b"PING\r\n")
        assert answers.readline() == b"+PONG\r\n"
        longest = max(longest, time.perf_counter() - asked)


def connected() -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", PORT))
        except ConnectionRefusedError:  # it has just been started
            time.sleep(BETWEEN_SECONDS)


def stored(number: int) -> bytes:
    value = os.urandom(VALUE_BYTES // 2).hex().encode()
    return b"*3\r\n$3\r\nSET\r\n$11\r\nkey%08d\r\n$%d\r\n%s\r\n" % (number, len(value), value)


if __name__ == "__main__":
    main(int(sys.argv[1]))
