"""A relay that counts the bytes of every connection that goes through it, both ways."""

from __future__ import annotations

import contextlib
import socket
import threading


class Wire:
    """Listens on a loopback port of its own and passes everything on to `target`; `up` and `down` are bytes."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.target, self.up, self.down = target, 0, 0
        self._counting = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for source, sink, side in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._pass_on, args=(source, sink, side), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, side: str) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                sink.sendall(chunk)
                with self._counting:
                    setattr(self, side, getattr(self, side) + len(chunk))
        for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with contextlib.suppress(OSError):
                end.shutdown(how)
