"""A simulated camera: an RTSP 1.0 server (RFC 2326) that sends H.264.

It supports OPTIONS, DESCRIBE, SETUP, PLAY and TEARDOWN, Basic and Digest passwords, and
TCP and UDP. It announces an audio stream that it does not send. Each image is plain;
its brightness gives its number, see `brightness`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import select
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import av
import numpy as np

PATH = "/door"
RATE_HZ = 25
N_IMAGES = 50
"""Number of different images; then they repeat."""

_CLOCK_HZ = 90_000
_MAX_PAYLOAD_BYTES = 1200  # bytes of a packet
_REALM = "camera"
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"


def brightness(number: int) -> float:
    """Return the brightness of a decoded image, in [0, 255] (BT.601)."""
    return (4 + 4 * (number % N_IMAGES)) * 255 / 219


@cache
def encode_images(size_wh: tuple[int, int]) -> tuple[tuple[bytes, ...], ...]:
    """Return the H.264 units of each image; all are key frames."""
    width, height = size_wh
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, RATE_HZ)
    encoder.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": "1",
        "crf": "5",
    }
    packets = []
    for number in range(N_IMAGES):
        yuv = np.full((height * 3 // 2, width), 128, np.uint8)
        yuv[:height] = 20 + 4 * number
        frame = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple(
        tuple(unit for unit in re.split(b"\0\0\0?\1", bytes(packet)) if unit)
        for packet in packets
    )


def rtp_packets(
    units: tuple[bytes, ...], number: int, sequence: int
) -> Iterator[bytes]:
    """Yield one image as RTP (RFC 3550), long units in parts (RFC 6184, 5.8)."""
    stamp = number * _CLOCK_HZ // RATE_HZ % 2**32
    bodies: list[bytes] = []
    for unit in units:
        if len(unit) <= _MAX_PAYLOAD_BYTES:
            bodies.append(unit)
            continue
        parts = [
            unit[offset : offset + _MAX_PAYLOAD_BYTES]
            for offset in range(1, len(unit), _MAX_PAYLOAD_BYTES)
        ]
        for index, part in enumerate(parts):
            edge = 0x80 * (index == 0) | 0x40 * (index == len(parts) - 1)
            head = bytes([unit[0] & 0xE0 | 28, edge | unit[0] & 0x1F])
            bodies.append(head + part)
    for index, body in enumerate(bodies):
        kind = 96 | 0x80 * (index == len(bodies) - 1)
        head = struct.pack(">BBHII", 0x80, kind, (sequence + index) % 2**16, stamp, 7)
        yield head + body


@dataclass
class RtspCamera:
    """State and behaviour of the camera; tests change it while it runs.

    Attributes:
        port: port of the server.
        size_wh: size of the images for new connections.
        login: required user and password.
        digest: whether to use Digest (RFC 2069) instead of Basic.
        udp: whether to send over UDP only, as some cameras do.
        silent: whether to keep connections open without sending.
        refuses: whether to close new connections at once.
        n_plays: number of PLAY requests.
        number: number of the last image sent.
        methods: the method of every request.
    """

    port: int = 0
    size_wh: tuple[int, int] = (160, 120)
    login: tuple[str, str] | None = None
    digest: bool = False
    udp: bool = False
    silent: bool = False
    refuses: bool = False
    n_plays: int = 0
    number: int = -1
    methods: list[str] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    def url(self, path: str = PATH, login: str = "") -> str:
        """Return its URL."""
        return f"rtsp://{login}127.0.0.1:{self.port}{path}"

    def close_connections(self) -> None:
        """Close all connections."""
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def is_authorized(self, method: str, header: str) -> bool:
        """Return whether a request has the right password."""
        if self.login is None:
            return True
        user, password = self.login
        if not self.digest:
            expected = base64.b64encode(f"{user}:{password}".encode()).decode()
            return header == f"Basic {expected}"
        digest_fields = dict(re.findall(r'(\w+)="([^"]*)"', header))
        ha1 = _md5(f"{user}:{_REALM}:{password}")
        ha2 = _md5(f"{method}:{digest_fields.get('uri', '')}")
        return digest_fields.get("response") == _md5(f"{ha1}:once:{ha2}")


@contextmanager
def run_camera(**options: object) -> Iterator[RtspCamera]:
    """Run a camera with these attributes."""
    rtsp_camera = RtspCamera(**options)  # type: ignore[arg-type]

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    class Handler(_RtspHandler):
        camera = rtsp_camera

    with Server(("127.0.0.1", 0), Handler) as server:
        rtsp_camera.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield rtsp_camera
        finally:
            rtsp_camera.close_connections()
            server.shutdown()


class _RtspHandler(socketserver.StreamRequestHandler):
    """One connection."""

    camera: RtspCamera
    _udp_target: tuple[str, int] | None = None  # set for UDP

    def handle(self) -> None:
        if self.camera.refuses:
            return
        self.camera.connections.append(self.connection)
        with contextlib.suppress(OSError, ValueError, IndexError):
            while self._handle_request(self._read_request()):
                pass
        self.camera.connections.remove(self.connection)

    def _read_request(self) -> dict[str, str]:
        """Return method, address and headers; empty if the connection is closed."""
        line = self.rfile.readline()
        while line.startswith(b"$"):  # an RTCP report of the reader
            size = struct.unpack(">H", line[2:4])[0]
            rest = line[4:] + self.rfile.read(max(0, size - len(line) + 4))
            line = rest[size:] + self.rfile.readline()
        if not line.strip():
            return {}
        method, address, _ = line.decode().split()
        fields = {"method": method, "address": address}
        while (line := self.rfile.readline()).strip():
            name, _, value = line.decode().partition(":")
            fields[name.strip().lower()] = value.strip()
        return fields

    def _handle_request(self, request: dict[str, str]) -> bool:
        """Send a response; return whether to expect another request."""
        if not request:
            return False
        method = request["method"]
        self.camera.methods.append(method)
        if method == "OPTIONS":
            self._send_response(request, {"Public": _METHODS})
        elif not self.camera.is_authorized(method, request.get("authorization", "")):
            challenge = f'realm="{_REALM}"'
            challenge = (
                f'Digest {challenge}, nonce="once"'
                if self.camera.digest
                else f"Basic {challenge}"
            )
            self._send_response(
                request, {"WWW-Authenticate": challenge}, "401 Unauthorized"
            )
        elif PATH not in request["address"]:
            self._send_response(request, {}, "404 Not Found")
        elif method == "DESCRIBE":
            headers = {"Content-Type": "application/sdp"}
            self._send_response(request, headers, body=_make_sdp(self.camera.size_wh))
        elif method == "SETUP":
            self._set_up_transport(request)
        elif method == "PLAY":
            self._send_response(request, {"Session": "1", "Range": "npt=now-"})
            self._send_images()
            return False
        else:
            self._send_response(request, {"Session": "1"})
        return method != "TEARDOWN"

    def _set_up_transport(self, request: dict[str, str]) -> None:
        """Negotiate TCP or UDP."""
        requested = request["transport"]
        transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
        if self.camera.udp and (ports := re.search(r"client_port=(\d+)", requested)):
            self._udp_target = self.client_address[0], int(ports[1])
            transport = f"{requested};server_port=9-10"
        elif self.camera.udp or "TCP" not in requested:
            self._send_response(request, {}, "461 Unsupported Transport")
            return
        self._send_response(
            request, {"Transport": transport, "Session": "1;timeout=60"}
        )

    def _send_packet(self, packet: bytes) -> None:
        if self._udp_target is None:
            head = struct.pack(">cBH", b"$", 0, len(packet))
            self.wfile.write(head + packet)
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp_socket:
            udp_socket.sendto(packet, self._udp_target)

    def _send_response(
        self,
        request: dict[str, str],
        headers: dict[str, str],
        status: str = "200 OK",
        body: bytes = b"",
    ) -> None:
        all_headers = {"CSeq": request["cseq"], **headers}
        if body:
            all_headers["Content-Length"] = str(len(body))
        lines = [f"RTSP/1.0 {status}", *(f"{k}: {v}" for k, v in all_headers.items())]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)

    def _send_images(self) -> None:
        """Send images at the frame rate until the connection is closed."""
        self.camera.n_plays += 1
        units_by_image = encode_images(self.camera.size_wh)
        began_s, sequence = time.monotonic(), 0
        for number in range(10**6):
            wait_s = began_s + number / RATE_HZ - time.monotonic()
            if select.select([self.connection], [], [], max(0.0, wait_s))[0]:
                # Other requests during PLAY need no response.
                received = self.connection.recv(4096)
                if b"TEARDOWN" in received or not received:
                    return
            if self.camera.silent:
                continue
            for packet in rtp_packets(
                units_by_image[number % N_IMAGES], number, sequence
            ):
                self._send_packet(packet)
                sequence += 1
            self.camera.number = number


def _make_sdp(size_wh: tuple[int, int]) -> bytes:
    """Return the description of the streams as SDP (RFC 4566; RFC 6184, 8.1)."""
    units = encode_images(size_wh)[0]
    heads = [unit for unit in units if unit[0] & 0x1F in (7, 8)]
    sets = ",".join(base64.b64encode(unit).decode() for unit in heads)
    level = heads[0][1:4].hex()
    format_parameters = (
        f"packetization-mode=1;profile-level-id={level};sprop-parameter-sets={sets}"
    )
    lines = (
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=Door",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "m=audio 0 RTP/AVP 8",
        "a=control:track0",
        "m=video 0 RTP/AVP 96",
        f"a=rtpmap:96 H264/{_CLOCK_HZ}",
        f"a=fmtp:96 {format_parameters}",
        f"a=framerate:{RATE_HZ}",
        "a=control:track1",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
