"""The other end of `maskdet.media.decoder_process`: a decoder kept at arm's length."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
import weakref
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, NoReturn

import numpy as np

from maskdet.media import decoder_process
from maskdet.types import Image

DECODER_SCRIPT: Final = Path(decoder_process.__file__)
_MAX_MESSAGE_BYTES: Final = 4096
"""Nothing that the decoder says is longer; whoever says more is not ours."""

_CPU_LIMIT_RETURN_CODES: Final = (-getattr(signal, "SIGXCPU", 0),)


_CONNECTION_ERRORS: Final = {
    "HTTPUnauthorizedError": "login",
    "HTTPForbiddenError": "login",
    "HTTPNotFoundError": "no path",
    "ConnectionRefusedError": "nobody",
}
"""What a server's answer, or none, means; by the name of PyAV's error."""


class DecoderError(Exception):
    """The decoder ended early.

    The message is one of `decoder.WHY`, `hangs` or `crash`; of an address also `login`,
    `no path`, `nobody` or `away`.
    """


class DecoderClient:
    """A process that decodes one video.

    Attributes:
        header: what it said about the video, once there was a first image.
        end_info: what it said about the video's end, once that was reached.
        end_s: until when the last image is shown, once it was taken.
    """

    def __init__(self, request: dict[str, Any], *, timeout_s: float) -> None:
        """Start it.

        Args:
            request: what to read and how; see `decode` in
                `maskdet.media.decoder_process`.
            timeout_s: how long it may take for one image, in seconds.
        """
        self.header: dict[str, Any] = {}
        self.end_info: dict[str, Any] = {}
        self.end_s = 0.0
        self._timeout_s = timeout_s
        self._fd, tag = _create_shared_memory()
        self._process = _start_process(self._fd)
        self._finalizer = weakref.finalize(self, _kill_process, self._process)
        self._requested_s: float | None = None
        self._timed_out = False
        self._frames: Image | None = None
        message = {**request, "fd": self._fd, "tag": tag, "wait_s": timeout_s}
        self._write(json.dumps(message).encode() + b"\n")
        client_ref = weakref.ref(self)
        threading.Thread(
            target=_kill_when_overdue, args=(client_ref, timeout_s), daemon=True
        ).start()

    def read_frame(self) -> tuple[Image, float] | None:
        """Return the next image and its time, or None after the last.

        Raises:
            DecoderError: the video is not what it should be, or the decoder died.
        """
        self._requested_s = monotonic()
        try:
            return self._receive_frame()
        finally:
            self._requested_s = None

    def stop(self) -> None:
        """End the process without waiting for that, as a signal handler must."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End the process and forget it; may be called twice."""
        self.stop()
        self._finalizer()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def is_running(self) -> bool:
        """Whether it has not been closed."""
        return self._finalizer.alive

    def kill_if_overdue(self) -> None:
        """End the process if it takes too long for an image."""
        requested_s = self._requested_s
        if requested_s is not None and monotonic() - requested_s > self._timeout_s:
            self._timed_out = True
            self.stop()

    def _receive_frame(self) -> tuple[Image, float] | None:
        while True:
            record = self._read_exactly(decoder_process.RECORD.size)
            kind, value, time_s = decoder_process.RECORD.unpack(record)
            if kind == b"I" and self._frames is None:
                self.header = json.loads(self._read_exactly(value))
                self._map_shared_memory()
            elif kind == b"F" and self._frames is not None:
                image: Image = self._frames[value % decoder_process.N_SLOTS].copy()
                self._write(b"+")
                return image, time_s
            elif kind == b".":
                self.end_info = json.loads(self._read_exactly(value))
                self.end_s = time_s
                self.close()
                return None
            else:
                reason = self._read_exactly(value).decode("ascii", "replace")
                self.close()
                raise DecoderError(_parse_reason(reason))

    def _map_shared_memory(self) -> None:
        """Open the shared memory, now that the size of its images is known."""
        shape = (
            decoder_process.N_SLOTS,
            int(self.header["height"]),
            int(self.header["width"]),
            3,
        )
        size = int(np.prod(shape))
        if sys.platform == "win32":
            memory = mmap.mmap(-1, size, str(self.about["tag"]))
        else:
            memory = mmap.mmap(self._fd, size)
            os.close(self._fd)
            self._fd = -1
        self._frames = np.frombuffer(memory, np.uint8).reshape(shape)

    def _read_exactly(self, n: int) -> bytes:
        """Return exactly `n` bytes of what it says."""
        stdout = self._process.stdout
        data = b""
        while (
            len(data) < n <= _MAX_MESSAGE_BYTES
            and stdout is not None
            and not stdout.closed
        ):
            chunk = stdout.read(n - len(data))
            if not chunk:
                break
            data += chunk
        if len(data) < n:
            self._raise_decoder_error()
        return data

    def _raise_decoder_error(self) -> NoReturn:
        self.close()
        timed_out = (
            self._timed_out or self._process.returncode in _CPU_LIMIT_RETURN_CODES
        )
        raise DecoderError("hangs" if timed_out else "crash")

    def _write(self, content: bytes) -> None:
        # If it has ended, what it still says tells why.
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.write(content)


def _parse_reason(reason: str) -> str:
    """Return what a decoder's last word means; it may have been overwritten."""
    if reason.startswith("away:"):
        return _CONNECTION_ERRORS.get(reason.removeprefix("away:"), "away")
    return reason if reason in decoder_process.STOP_REASONS else "crash"


def _create_shared_memory() -> tuple[int, str]:
    """Return memory that needs no name and so leaves nothing behind.

    Windows has that only by name: there the file number is -1.
    """
    tag = f"maskdet-{uuid.uuid4()}"
    if sys.platform == "win32":
        return -1, tag
    if sys.platform == "linux":
        return os.memfd_create(tag), tag
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno()), tag


def _start_process(fd: int) -> subprocess.Popen[bytes]:
    """Start the program, away from Ctrl-C, with nothing but its pipes and memory."""
    # -P: the folder of the program is no place to import from. One thread for
    # NumPy, which would reserve memory for as many as there are processors.
    return subprocess.Popen(
        [sys.executable, "-P", str(DECODER_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        pass_fds=() if fd < 0 else (fd,),
        start_new_session=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )


def _kill_process(process: subprocess.Popen[bytes]) -> None:
    """End a process and leave nothing of it; also where its owner was just dropped."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _kill_when_overdue(
    client_ref: weakref.ref[DecoderClient], timeout_s: float
) -> None:
    """End a decoder that takes too long, for as long as somebody wants it."""
    while True:
        sleep(min(0.25, timeout_s / 4))
        client = client_ref()
        if client is None or not client.is_running:
            return
        client.kill_if_overdue()
        del client
