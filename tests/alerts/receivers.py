"""Local receivers of alerts: a web server, and a minimal MQTT broker."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class WebReceiver:
    """Received requests, and the responses to send: one per request, then 204."""

    url: str = ""
    responses: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    requests: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)


@contextmanager
def run_web_receiver(
    *responses: tuple[int, Mapping[str, str]],
) -> Iterator[WebReceiver]:
    receiver = WebReceiver(responses=list(responses))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append((self.path, dict(self.headers), body))
            code, headers = (
                receiver.responses.pop(0) if receiver.responses else (204, {})
            )
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
def run_silent_receiver() -> Iterator[str]:
    """Run a server that accepts connections and never responds; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def run_mqtt_broker(*, accept: bool = True) -> Iterator[tuple[int, list[bytes]]]:
    """Run a broker for one client; yield its port and the published packets."""
    packets: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        # The client may close the connection at any time.
        with contextlib.suppress(OSError):
            client, _ = server.accept()
            with client:
                _serve_client(client, packets, accept=accept)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], packets
    finally:
        server.close()
        thread.join(5)


def _serve_client(client: socket.socket, packets: list[bytes], *, accept: bool) -> None:
    """Serve one client until it disconnects."""
    while True:
        packet_type, body = _read_packet(client)
        if packet_type == 1:
            client.sendall(bytes([0x20, 2, 0, 0 if accept else 5]))
        elif packet_type == 3:
            packets.append(body)
            size = int.from_bytes(body[:2], "big")
            client.sendall(bytes([0x40, 2]) + body[2 + size : 4 + size])
        elif packet_type in (0, 14):
            return


def _read_packet(client: socket.socket) -> tuple[int, bytes]:
    """Return type and content of the next MQTT packet; type 0 at the end."""
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
