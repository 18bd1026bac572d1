"""A proxy between a client and the relay that loses patience when a test says so."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class CuttingProxy:
    """
    Passes bytes on in both directions, and knows which paths were asked for and answered.

    Lives until ``close``, which ends its threads.
    """

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._answered: list[str] = []
        self._dropping = 0
        self._dropped: list[str] = []
        self._serving: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def wait_answered(self, path: str, seconds: float) -> bool:
        """Whether a path that begins so was answered within so many seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: any(one.startswith(path) for one in self._answered), seconds
            )

    def wait_dropped(self, count: int, seconds: float) -> bool:
        """Whether so many requests were dropped within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._dropped) >= count, seconds)

    def cut(self) -> None:
        """Close every connection, answered or not, as a proxy does whose timeout has passed."""
        with self._changed:
            _end(*self._open)

    def drop(self, count: int) -> None:
        """Close the connection of each of the next requests instead of passing it on."""
        with self._changed:
            self._dropping = count

    def close(self) -> None:
        """Accept nothing more, close what is open, and wait for the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.cut()
        for thread in self._serving:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._serving.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as relay:
            with self._changed:
                self._open |= {client, relay}
            asked: list[str] = []
            up = threading.Thread(target=self._pass_up, args=(client, relay, asked), daemon=True)
            up.start()
            self._pass_down(relay, client, asked)
            up.join()
            with self._changed:
                self._open -= {client, relay}

    def _pass_up(self, client: socket.socket, relay: socket.socket, asked: list[str]) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if data.startswith((b"GET ", b"POST ", b"HEAD ")):
                    asked.append(data.split(b" ", 2)[1].partition(b"?")[0].decode())
                    if self._drops(asked[-1]):
                        break
                relay.sendall(data)
        _end(client, relay)

    def _pass_down(self, relay: socket.socket, client: socket.socket, asked: list[str]) -> None:
        with contextlib.suppress(OSError):
            while data := relay.recv(65536):
                # Before it is passed on: who has read it may ask for the next at once.
                answered = asked[-1:]
                client.sendall(data)
                with self._changed:
                    self._answered += answered
                    self._changed.notify_all()
        _end(client, relay)

    def _drops(self, path: str) -> bool:
        with self._changed:
            if not self._dropping:
                return False
            self._dropping -= 1
            self._dropped.append(path)
            self._changed.notify_all()
            return True


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cutting_proxy(port: int) -> Iterator[CuttingProxy]:
    """Yield a proxy before the relay at ``port``."""
    proxy = CuttingProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
