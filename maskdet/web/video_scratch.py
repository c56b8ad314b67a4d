"""The folder in which a visitor's film lies for as long as it is needed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Final

SHARED_MEMORY: Final = Path("/dev/shm")
"""Files in it never reach a disk; Linux has it."""

_SPACE_FACTOR: Final = 6
"""For the film, the annotated film without and with sound, and both somewhat larger."""

_SPACE_MARGIN_BYTES: Final = 16_000_000

# It waits until whoever started it closes the pipe, which the system does also for a
# process that was killed. Whatever still writes there gets a moment to end.
_CLEANUP_SCRIPT: Final = """
import os, shutil, sys, time
sys.stdin.buffer.read()
for _ in range(40):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.25)
"""


class ScratchFolder:
    """A folder that only this program's user can open, and that surely goes away.

    It goes with `close`, with this object, with the program, and also if the program
    is killed: a small process of its own waits for that.

    Attributes:
        path: the folder.
        in_memory: whether it lies in memory, not on a disk.
    """

    def __init__(self, video_bytes: int) -> None:
        """Make the folder: in memory if there is room, else where temporary files go.

        Args:
            video_bytes: size of the film that it is for.

        Raises:
            OSError: no folder can be made.
        """
        parent = _find_memory_folder(_SPACE_FACTOR * video_bytes + _SPACE_MARGIN_BYTES)
        self.in_memory = parent is not None
        self.path = Path(tempfile.mkdtemp(prefix="maskdet-film-", dir=parent))
        try:
            cleanup_process = _start_cleanup_process(self.path)
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        self._finalizer = weakref.finalize(
            self, _delete_folder, self.path, cleanup_process
        )

    def close(self) -> None:
        """Delete the folder with all that is in it; may be called twice."""
        self._finalizer()


def _find_memory_folder(required_bytes: int) -> Path | None:
    """Return the folder that lies in memory, if it has so much room."""
    if sys.platform != "linux" or not os.access(SHARED_MEMORY, os.W_OK | os.X_OK):
        return None
    with contextlib.suppress(OSError):
        if shutil.disk_usage(SHARED_MEMORY).free >= required_bytes:
            return SHARED_MEMORY
    return None


def _start_cleanup_process(path: Path) -> subprocess.Popen[bytes]:
    """Start what deletes the folder when this process is no more."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CLEANUP_SCRIPT, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _delete_folder(path: Path, cleanup_process: subprocess.Popen[bytes]) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if cleanup_process.stdin is not None:
        cleanup_process.stdin.close()
    # What is open there still, on Windows, it deletes a little later.
    with contextlib.suppress(subprocess.TimeoutExpired):
        cleanup_process.wait(timeout=2)
