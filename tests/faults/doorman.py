"""Lets clients of this machine into a network namespace: listens out here, dials in there.

    python tests/faults/doorman.py FD=HOST:PORT ...

Run inside the namespace, with listening sockets that were made outside of it. It ends with its
standard input.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress

DIAL_S = 1.0


def main() -> None:
    for words in sys.argv[1:]:
        handle, _, target = words.partition("=")
        host, _, port = target.rpartition(":")
        door = socket.socket(fileno=int(handle))
        threading.Thread(target=serve, args=(door, (host, int(port))), daemon=True).start()
    sys.stdin.read()


def serve(door: socket.socket, target: tuple[str, int]) -> None:
    """Let everybody in who knocks, each on two threads."""
    while True:
        client, _ = door.accept()
        try:
            inside = socket.create_connection(target, DIAL_S)
        except OSError:
            client.close()
            continue
        inside.settimeout(None)
        for source, sink in ((client, inside), (inside, client)):
            threading.Thread(target=carry, args=(source, sink), daemon=True).start()


def carry(source: socket.socket, target: socket.socket) -> None:
    """One direction, to its end."""
    with suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
