"""A camera on this machine that speaks RTSP 1.0 (RFC 2326) and sends H.264.

It knows what a reader needs: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, with Basic or
Digest passwords, and sends over TCP or UDP. It says that it has sound too, and sends
none. Each picture is plain and as bright as its number says, see `brightness`.
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
N_PICTURES = 50
"""So many differ; then they begin again."""

_CLOCK_HZ = 90_000
_LARGEST = 1200  # bytes of a packet
_REALM = "camera"
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"


def brightness(number: int) -> float:
    """Return how bright a picture is when it is decoded, in [0, 255] (BT.601)."""
    return (4 + 4 * (number % N_PICTURES)) * 255 / 219


@cache
def pictures(size_wh: tuple[int, int]) -> tuple[tuple[bytes, ...], ...]:
    """Return the H.264 units of each picture; every one can be read without others."""
    width, height = size_wh
    coder = av.CodecContext.create("libx264", "w")
    coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
    coder.time_base = Fraction(1, RATE_HZ)
    coder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "1", "crf": "5"}
    packets = []
    for number in range(N_PICTURES):
        plain = np.full((height * 3 // 2, width), 128, np.uint8)
        plain[:height] = 20 + 4 * number
        frame = av.VideoFrame.from_ndarray(plain, format="yuv420p")
        frame.pts = number
        packets += coder.encode(frame)
    packets += coder.encode(None)
    return tuple(
        tuple(unit for unit in re.split(b"\0\0\0?\1", bytes(packet)) if unit)
        for packet in packets
    )


def packets(units: tuple[bytes, ...], number: int, sequence: int) -> Iterator[bytes]:
    """Yield one picture as RTP (RFC 3550), long units in parts (RFC 6184, 5.8)."""
    stamp = number * _CLOCK_HZ // RATE_HZ % 2**32
    bodies: list[bytes] = []
    for unit in units:
        if len(unit) <= _LARGEST:
            bodies.append(unit)
            continue
        parts = [unit[at : at + _LARGEST] for at in range(1, len(unit), _LARGEST)]
        for place, part in enumerate(parts):
            edge = 0x80 * (place == 0) | 0x40 * (place == len(parts) - 1)
            head = bytes([unit[0] & 0xE0 | 28, edge | unit[0] & 0x1F])
            bodies.append(head + part)
    for place, body in enumerate(bodies):
        kind = 96 | 0x80 * (place == len(bodies) - 1)
        head = struct.pack(">BBHII", 0x80, kind, (sequence + place) % 2**16, stamp, 7)
        yield head + body


@dataclass
class Camera:
    """What the camera does; tests change it while it runs.

    Attributes:
        port: on this machine.
        size_wh: of its pictures, for those who come from now on.
        login: user and password that it asks for.
        digest: it asks for them by Digest (RFC 2069), not Basic.
        udp: it sends over UDP only, as some do.
        silent: it keeps connections and sends nothing on them.
        away: it hangs up on whoever comes.
        n_plays: how often somebody began to look.
        number: of the picture that was sent last.
        asked: the method of every request.
    """

    port: int = 0
    size_wh: tuple[int, int] = (160, 120)
    login: tuple[str, str] | None = None
    digest: bool = False
    udp: bool = False
    silent: bool = False
    away: bool = False
    n_plays: int = 0
    number: int = -1
    asked: list[str] = field(default_factory=list)
    open: list[socket.socket] = field(default_factory=list)

    def address(self, path: str = PATH, login: str = "") -> str:
        """Return its address."""
        return f"rtsp://{login}127.0.0.1:{self.port}{path}"

    def drop(self) -> None:
        """Hang up on everybody."""
        for one in self.open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def knows(self, method: str, header: str) -> bool:
        """Return whether a request may be answered."""
        if self.login is None:
            return True
        user, word = self.login
        if not self.digest:
            wanted = base64.b64encode(f"{user}:{word}".encode()).decode()
            return header == f"Basic {wanted}"
        given = dict(re.findall(r'(\w+)="([^"]*)"', header))
        first = _md5(f"{user}:{_REALM}:{word}")
        second = _md5(f"{method}:{given.get('uri', '')}")
        return given.get("response") == _md5(f"{first}:once:{second}")


@contextmanager
def camera(**how: object) -> Iterator[Camera]:
    """Run a camera, which then looks as its attributes say."""
    one = Camera(**how)  # type: ignore[arg-type]

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    class Handler(_Talk):
        camera = one

    with Server(("127.0.0.1", 0), Handler) as server:
        one.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield one
        finally:
            one.drop()
            server.shutdown()


class _Talk(socketserver.StreamRequestHandler):
    """One connection."""

    camera: Camera
    there: tuple[str, int] | None = None  # where pictures go, if by UDP

    def handle(self) -> None:
        if self.camera.away:
            return
        self.camera.open.append(self.connection)
        with contextlib.suppress(OSError, ValueError, IndexError):
            while self._answer(self._request()):
                pass
        self.camera.open.remove(self.connection)

    def _request(self) -> dict[str, str]:
        """Return method, address and headers; empty when nobody is there any more."""
        line = self.rfile.readline()
        while line.startswith(b"$"):  # what the reader reports of its reception
            size = struct.unpack(">H", line[2:4])[0]
            rest = line[4:] + self.rfile.read(max(0, size - len(line) + 4))
            line = rest[size:] + self.rfile.readline()
        if not line.strip():
            return {}
        method, address, _ = line.decode().split()
        found = {"method": method, "address": address}
        while (line := self.rfile.readline()).strip():
            name, _, value = line.decode().partition(":")
            found[name.strip().lower()] = value.strip()
        return found

    def _answer(self, request: dict[str, str]) -> bool:
        """Answer; return whether more may come."""
        if not request:
            return False
        method = request["method"]
        self.camera.asked.append(method)
        if method == "OPTIONS":
            self._say(request, {"Public": _METHODS})
        elif not self.camera.knows(method, request.get("authorization", "")):
            way = f'realm="{_REALM}"'
            way = (
                f'Digest {way}, nonce="once"' if self.camera.digest else f"Basic {way}"
            )
            self._say(request, {"WWW-Authenticate": way}, "401 Unauthorized")
        elif PATH not in request["address"]:
            self._say(request, {}, "404 Not Found")
        elif method == "DESCRIBE":
            what = {"Content-Type": "application/sdp"}
            self._say(request, what, body=_description(self.camera.size_wh))
        elif method == "SETUP":
            self._set_up(request)
        elif method == "PLAY":
            self._say(request, {"Session": "1", "Range": "npt=now-"})
            self._play()
            return False
        else:
            self._say(request, {"Session": "1"})
        return method != "TEARDOWN"

    def _set_up(self, request: dict[str, str]) -> None:
        """Agree on the way that pictures take."""
        asked = request["transport"]
        way = "RTP/AVP/TCP;unicast;interleaved=0-1"
        if self.camera.udp and (ports := re.search(r"client_port=(\d+)", asked)):
            self.there = self.client_address[0], int(ports[1])
            way = f"{asked};server_port=9-10"
        elif self.camera.udp or "TCP" not in asked:
            self._say(request, {}, "461 Unsupported Transport")
            return
        self._say(request, {"Transport": way, "Session": "1;timeout=60"})

    def _send(self, packet: bytes) -> None:
        if self.there is None:
            head = struct.pack(">cBH", b"$", 0, len(packet))
            self.wfile.write(head + packet)
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.sendto(packet, self.there)

    def _say(
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

    def _play(self) -> None:
        """Send pictures at their rate until somebody hangs up."""
        self.camera.n_plays += 1
        made = pictures(self.camera.size_wh)
        began_s, sequence = time.monotonic(), 0
        for number in range(10**6):
            wait_s = began_s + number / RATE_HZ - time.monotonic()
            if select.select([self.connection], [], [], max(0.0, wait_s))[0]:
                # Whatever it asks now, nothing needs an answer but an end.
                said = self.connection.recv(4096)
                if b"TEARDOWN" in said or not said:
                    return
            if self.camera.silent:
                continue
            for packet in packets(made[number % N_PICTURES], number, sequence):
                self._send(packet)
                sequence += 1
            self.camera.number = number


def _description(size_wh: tuple[int, int]) -> bytes:
    """Return what there is to see, as SDP (RFC 4566; RFC 6184, 8.1)."""
    units = pictures(size_wh)[0]
    heads = [unit for unit in units if unit[0] & 0x1F in (7, 8)]
    sets = ",".join(base64.b64encode(unit).decode() for unit in heads)
    level = heads[0][1:4].hex()
    how = f"packetization-mode=1;profile-level-id={level};sprop-parameter-sets={sets}"
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
        f"a=fmtp:96 {how}",
        f"a=framerate:{RATE_HZ}",
        "a=control:track1",
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
