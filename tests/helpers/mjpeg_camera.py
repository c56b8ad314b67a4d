"""A network camera for tests: an HTTP server that sends a motion JPEG stream."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

_FPS = 10


class MjpegCamera:
    """Sends its images in turn, and counts the connections.

    Attributes:
        port: its port on this machine; it stays the same when the camera restarts.
        n_opened: number of connections so far.
        refusal: HTTP status of a refusal, such as 401; `None` if it sends images.
    """

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self.n_opened = 0
        self.refusal: int | None = None
        self._jpegs = [cv2.imencode(".jpg", image)[1].tobytes() for image in images]
        self._gone = threading.Event()
        self._server = self._serve(0)
        self.port = self._server.server_port

    @property
    def url(self) -> str:
        """The address, with a password."""
        return f"http://admin:s3cret-word@127.0.0.1:{self.port}/stream"

    def disconnect(self) -> None:
        """Close all connections and accept none."""
        self._gone.set()
        self._server.shutdown()
        self._server.server_close()

    def reconnect(self) -> None:
        """Answer again, at the same address."""
        self._gone = threading.Event()
        self._server = self._serve(self.port)

    def _serve(self, port: int) -> ThreadingHTTPServer:
        camera, gone = self, self._gone

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.n_opened += 1
                if camera.refusal is not None:
                    self.send_error(camera.refusal)
                    return
                self.send_response(200)
                kind = "multipart/x-mixed-replace; boundary=frame"
                self.send_header("Content-Type", kind)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.send_images()

            def send_images(self) -> None:
                number = 0
                while not gone.wait(1 / _FPS):
                    jpeg = camera._jpegs[number % len(camera._jpegs)]
                    head = (
                        "--frame\r\nContent-Type: image/jpeg\r\n"
                        f"Content-Length: {len(jpeg)}\r\n\r\n"
                    )
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    number += 1

            def log_message(self, *words: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@contextlib.contextmanager
def run_mjpeg_camera(images: Sequence[np.ndarray]) -> Iterator[MjpegCamera]:
    """Run a camera until the context ends."""
    camera = MjpegCamera(images)
    try:
        yield camera
    finally:
        camera.disconnect()
