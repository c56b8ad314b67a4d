"""Receivers on this machine: a web server, and the least of an MQTT broker."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What came, and what is answered: one entry of `answers` a request, then 204."""

    url: str = ""
    answers: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    got: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)


@contextmanager
def web_receiver(*answers: tuple[int, Mapping[str, str]]) -> Iterator[Receiver]:
    receiver = Receiver(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((self.path, dict(self.headers), body))
            code, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silent_receiver() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def mqtt_receiver(*, accept: bool = True) -> Iterator[tuple[int, list[bytes]]]:
    """A broker that takes one client: gives its port and the packets it published."""
    packets: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        # Who hangs up ends the conversation, in whatever way it is done.
        with contextlib.suppress(OSError):
            client, _ = server.accept()
            with client:
                _talk(client, packets, accept=accept)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], packets
    finally:
        server.close()
        thread.join(5)


def _talk(client: socket.socket, packets: list[bytes], *, accept: bool) -> None:
    """Answer one client until it hangs up."""
    while True:
        kind, body = _packet(client)
        if kind == 1:
            client.sendall(bytes([0x20, 2, 0, 0 if accept else 5]))
        elif kind == 3:
            packets.append(body)
            size = int.from_bytes(body[:2], "big")
            client.sendall(bytes([0x40, 2]) + body[2 + size : 4 + size])
        elif kind in (0, 14):
            return


def _packet(client: socket.socket) -> tuple[int, bytes]:
    """Return the kind and content of the next MQTT packet; kind 0 at the end."""
    head = client.recv(1)
    if not head:
        return 0, b""
    size, shift = 0, 0
    while True:
        digit = client.recv(1)[0]
        size |= (digit & 127) << shift
        shift += 7
        if not digit & 128:
            break
    body = b""
    while len(body) < size:
        body += client.recv(size - len(body))
    return head[0] >> 4, body
