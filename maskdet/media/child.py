"""The other end of `maskdet.media.decoder`: a decoder kept at arm's length."""

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

from maskdet.media import decoder
from maskdet.types import Image

PROGRAM: Final = Path(decoder.__file__)
_MAX_TEXT: Final = 4096
"""Nothing that the decoder says is longer; whoever says more is not ours."""

_OUT_OF_TIME: Final = (-getattr(signal, "SIGXCPU", 0),)


_AWAY: Final = {
    "HTTPUnauthorizedError": "login",
    "HTTPForbiddenError": "login",
    "HTTPNotFoundError": "no path",
    "ConnectionRefusedError": "nobody",
}
"""What a server's answer, or none, means; by the name of PyAV's error."""


class DecoderStopped(Exception):  # noqa: N818 - says what, not that it is an error
    """The decoder ended early.

    The message is one of `decoder.WHY`, `hangs` or `crash`; of an address also `login`,
    `no path`, `nobody` or `away`.
    """


class Decoder:
    """A process that decodes one film.

    Attributes:
        about: what it said about the film, once there was a first picture.
        end: what it said about the film's end, once that was reached.
        end_s: until when the last picture is shown, once it was taken.
    """

    def __init__(self, order: dict[str, Any], *, wait_s: float) -> None:
        """Start it.

        Args:
            order: what to read and how; see `decode` in `maskdet.media.decoder`.
            wait_s: how long it may take for one picture, in seconds.
        """
        self.about: dict[str, Any] = {}
        self.end: dict[str, Any] = {}
        self.end_s = 0.0
        self._wait_s = wait_s
        self._fd, tag = _shared()
        self._process = _started(self._fd)
        self._end = weakref.finalize(self, _ended, self._process)
        self._asked_s: float | None = None
        self._hangs = False
        self._slots: Image | None = None
        head = {**order, "fd": self._fd, "tag": tag, "wait_s": wait_s}
        self._write(json.dumps(head).encode() + b"\n")
        this = weakref.ref(self)
        threading.Thread(target=_watch, args=(this, wait_s), daemon=True).start()

    def next(self) -> tuple[Image, float] | None:
        """Return the next picture and its time, or None after the last.

        Raises:
            DecoderStopped: the film is not what it should be, or the decoder died.
        """
        self._asked_s = monotonic()
        try:
            return self._next()
        finally:
            self._asked_s = None

    def stop(self) -> None:
        """End the process without waiting for that, as a signal handler must."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End the process and forget it; may be called twice."""
        self.stop()
        self._end()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def running(self) -> bool:
        """Whether it has not been closed."""
        return self._end.alive

    def end_if_overdue(self) -> None:
        """End the process if it takes too long for a picture."""
        asked_s = self._asked_s
        if asked_s is not None and monotonic() - asked_s > self._wait_s:
            self._hangs = True
            self.stop()

    def _next(self) -> tuple[Image, float] | None:
        while True:
            head = self._read(decoder.RECORD.size)
            kind, value, time_s = decoder.RECORD.unpack(head)
            if kind == b"I" and self._slots is None:
                self.about = json.loads(self._read(value))
                self._map()
            elif kind == b"F" and self._slots is not None:
                image: Image = self._slots[value % decoder.SLOTS].copy()
                self._write(b"+")
                return image, time_s
            elif kind == b".":
                self.end = json.loads(self._read(value))
                self.end_s = time_s
                self.close()
                return None
            else:
                word = self._read(value).decode("ascii", "replace")
                self.close()
                raise DecoderStopped(_why(word))

    def _map(self) -> None:
        """Open the shared memory, now that the size of its pictures is known."""
        shape = (decoder.SLOTS, int(self.about["height"]), int(self.about["width"]), 3)
        size = int(np.prod(shape))
        if sys.platform == "win32":
            memory = mmap.mmap(-1, size, str(self.about["tag"]))
        else:
            memory = mmap.mmap(self._fd, size)
            os.close(self._fd)
            self._fd = -1
        self._slots = np.frombuffer(memory, np.uint8).reshape(shape)

    def _read(self, n: int) -> bytes:
        """Return exactly `n` bytes of what it says."""
        out = self._process.stdout
        said = b""
        while len(said) < n <= _MAX_TEXT and out is not None and not out.closed:
            part = out.read(n - len(said))
            if not part:
                break
            said += part
        if len(said) < n:
            self._died()
        return said

    def _died(self) -> NoReturn:
        self.close()
        late = self._hangs or self._process.returncode in _OUT_OF_TIME
        raise DecoderStopped("hangs" if late else "crash")

    def _write(self, content: bytes) -> None:
        # If it has ended, what it still says tells why.
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.write(content)


def _why(word: str) -> str:
    """Return what a decoder's last word means; it may have been overwritten."""
    if word.startswith("away:"):
        return _AWAY.get(word.removeprefix("away:"), "away")
    return word if word in decoder.WHY else "crash"


def _shared() -> tuple[int, str]:
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


def _started(fd: int) -> subprocess.Popen[bytes]:
    """Start the program, away from Ctrl-C, with nothing but its pipes and memory."""
    # -P: the folder of the program is no place to import from. One thread for
    # NumPy, which would reserve memory for as many as there are processors.
    return subprocess.Popen(
        [sys.executable, "-P", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        pass_fds=() if fd < 0 else (fd,),
        start_new_session=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )


def _ended(process: subprocess.Popen[bytes]) -> None:
    """End a process and leave nothing of it; also where its owner was just dropped."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _watch(this: weakref.ref[Decoder], wait_s: float) -> None:
    """End a decoder that takes too long, for as long as somebody wants it."""
    while True:
        sleep(min(0.25, wait_s / 4))
        owner = this()
        if owner is None or not owner.running:
            return
        owner.end_if_overdue()
        del owner
