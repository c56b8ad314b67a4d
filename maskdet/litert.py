"""LiteRT networks, opened without the line that the runtime prints on its own."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ai_edge_litert.interpreter import Interpreter

_CHATTER: Final = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
_STDERR: Final = 2

_lock = threading.Lock()
_told = False
"""Whether the runtime has had its say: it prints that line once a process."""


class QuietInterpreter(Interpreter):  # type: ignore[misc]  # LiteRT has no types
    """An interpreter that does not announce which delegate it uses."""

    def allocate_tensors(self) -> None:
        """Allocate memory for all tensors; the first call makes the delegate."""
        global _told
        if _told:
            super().allocate_tensors()
            return
        with _lock, _without_chatter():
            super().allocate_tensors()
            _told = True


def open_interpreter(path: Path, kind: str, *, threads: int) -> Any:
    """Return the interpreter of a LiteRT file.

    Args:
        path: the file.
        kind: what it is, for messages: `classifier` or `network`.
        threads: processor threads of one call.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: it is not a LiteRT network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{kind} file {path} is missing")
    try:
        return QuietInterpreter(model_path=str(path), num_threads=threads)
    except (ValueError, RuntimeError):
        raise RuntimeError(f"{kind} file {path} is no LiteRT network") from None


def output_names(path: Path) -> list[str]:
    """Return the names of the outputs of a LiteRT file; they carry the labels.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: it is not a LiteRT network.
    """
    signatures = open_interpreter(path, "model", threads=1).get_signature_list()
    return [name for one in signatures.values() for name in one["outputs"]]


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep the runtime's line off stderr; all else that is written there comes after.

    LiteRT 2.3 has neither an option nor a variable for it, so the file behind stderr
    is another one meanwhile, for all threads.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    try:
        kept = os.dup(_STDERR)
    except OSError:  # a service may have no stderr
        yield
        return
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), _STDERR)
        try:
            yield
        finally:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.flush()
            os.dup2(kept, _STDERR)
            os.close(kept)
            aside.seek(0)
            for line in aside:
                if line.rstrip() != _CHATTER:
                    os.write(_STDERR, line)
