"""The parent's side of `maskdet.media.decoder_process`: starts and reads it."""

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
from typing import Any, Final

import numpy as np

from maskdet.media import decoder_process
from maskdet.types import Image

DECODER_SCRIPT: Final = Path(decoder_process.__file__)
_MAX_MESSAGE_BYTES: Final = 4096
"""Maximum length of a message; a longer one means that the decoder is corrupted."""

_CPU_LIMIT_RETURN_CODES: Final = (-getattr(signal, "SIGXCPU", 0),)

_CONNECTION_ERRORS: Final = {
    "HTTPUnauthorizedError": "login",
    "HTTPForbiddenError": "login",
    "HTTPNotFoundError": "no path",
    "ConnectionRefusedError": "refused",
}
"""Reasons why a URL cannot be read, by the name of PyAV's error."""


class DecoderError(Exception):
    """The decoder ended early.

    The message is one of `decoder_process.STOP_REASONS`, `timeout` or `crash`; for a
    URL also `login`, `no path`, `refused` or `unreachable`.
    """


class DecoderClient:
    """A process that decodes one video.

    Attributes:
        header: metadata of the video, once the first frame was read.
        end_info: whether the video is complete, once its end was reached.
        end_s: until when the last frame is shown, once the end was reached.
    """

    def __init__(self, request: dict[str, Any], *, timeout_s: float) -> None:
        """Start the process.

        Args:
            request: what to read and how; see `video_reader.build_decode_request`.
            timeout_s: maximum time to decode one frame, in seconds.
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
        """Return the next frame and its time, or None after the last.

        Raises:
            DecoderError: the video cannot be decoded, or the process ended.
        """
        self._requested_s = monotonic()
        try:
            return self._receive_frame()
        finally:
            self._requested_s = None

    def stop(self) -> None:
        """Kill the process without waiting; safe in a signal handler."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Kill the process and release its resources; can be called twice."""
        self.stop()
        self._finalizer()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def is_running(self) -> bool:
        """Whether `close` was not called yet."""
        return self._finalizer.alive

    def kill_if_overdue(self) -> None:
        """Kill the process if it takes too long for a frame."""
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
        """Map the shared memory, now that the size of the frames is known."""
        shape = (
            decoder_process.N_SLOTS,
            int(self.header["height"]),
            int(self.header["width"]),
            3,
        )
        size = int(np.prod(shape))
        if sys.platform == "win32":
            memory = mmap.mmap(-1, size, str(self.header["tag"]))
        else:
            memory = mmap.mmap(self._fd, size)
            os.close(self._fd)
            self._fd = -1
        self._frames = np.frombuffer(memory, np.uint8).reshape(shape)

    def _read_exactly(self, n: int) -> bytes:
        """Return exactly `n` bytes of the output of the process."""
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
        if len(data) == n:
            return data
        self.close()
        timed_out = (
            self._timed_out or self._process.returncode in _CPU_LIMIT_RETURN_CODES
        )
        raise DecoderError("timeout" if timed_out else "crash")

    def _write(self, content: bytes) -> None:
        # If the process has ended, its output says why.
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.write(content)


def _parse_reason(reason: str) -> str:
    """Return the reason of an error record; an unknown one counts as a crash."""
    kind, _, name = reason.partition(":")
    if kind == "unreachable":
        return _CONNECTION_ERRORS.get(name, kind)
    return reason if reason in decoder_process.STOP_REASONS else "crash"


def _create_shared_memory() -> tuple[int, str]:
    """Return the descriptor of anonymous shared memory, and a tag.

    On Windows the memory has the tag as its name, and the descriptor is -1.
    """
    tag = f"maskdet-{uuid.uuid4()}"
    if sys.platform == "win32":
        return -1, tag
    if sys.platform == "linux":
        return os.memfd_create(tag), tag
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno()), tag


def _start_process(fd: int) -> subprocess.Popen[bytes]:
    """Start the decoder in its own session, with only its pipes and the memory."""
    # -P keeps the folder of the script out of sys.path. One thread for NumPy, which
    # would reserve memory for each processor.
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
    """Kill a process, wait for it and close its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _kill_when_overdue(
    client_ref: weakref.ref[DecoderClient], timeout_s: float
) -> None:
    """Kill a decoder that takes too long, until it is closed or garbage-collected."""
    while True:
        sleep(min(0.25, timeout_s / 4))
        client = client_ref()
        if client is None or not client.is_running:
            return
        client.kill_if_overdue()
        del client
