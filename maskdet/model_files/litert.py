"""Open LiteRT models without the log line that the runtime prints to stderr."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ai_edge_litert.interpreter import Interpreter

from maskdet.threads import get_thread_count

_DELEGATE_MESSAGE: Final = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
_STDERR: Final = 2

_lock = threading.Lock()
_is_message_printed = False
"""Whether the runtime has printed the line; it does so once per process."""


class QuietInterpreter(Interpreter):  # type: ignore[misc]  # LiteRT has no types
    """An interpreter that keeps no input, and does not log which delegate it uses."""

    def allocate_tensors(self) -> None:
        """Allocate memory for all tensors; the first call creates the delegate."""
        global _is_message_printed
        if _is_message_printed:
            super().allocate_tensors()
            return
        with _lock, _suppress_delegate_message():
            super().allocate_tensors()
            _is_message_printed = True

    def invoke(self) -> None:
        """Run the network, and overwrite its inputs: no image stays in memory."""
        super().invoke()
        for index in self._input_indices:
            self.tensor(index)()[...] = 0

    @functools.cached_property
    def _input_indices(self) -> list[int]:
        return [details["index"] for details in self.get_input_details()]


def open_interpreter(path: Path, kind: str, *, threads: int | None = None) -> Any:
    """Return the interpreter of a LiteRT file.

    Args:
        path: the file.
        kind: kind of model for error messages: `classifier` or `network`.
        threads: CPU threads of one call; by default those of `use_threads`.

    Raises:
        FileNotFoundError: the file does not exist.
        RuntimeError: it is not a LiteRT model.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{kind} file {path} does not exist")
    n_threads = get_thread_count() if threads is None else threads
    try:
        return QuietInterpreter(model_path=str(path), num_threads=n_threads)
    except (ValueError, RuntimeError):
        raise RuntimeError(f"{kind} file {path} is not a LiteRT model") from None


def read_output_names(path: Path) -> list[str]:
    """Return the names of the outputs of a LiteRT file; they hold the class order.

    Raises:
        FileNotFoundError: the file does not exist.
        RuntimeError: it is not a LiteRT model.
    """
    signatures = open_interpreter(path, "model", threads=1).get_signature_list()
    return [name for signature in signatures.values() for name in signature["outputs"]]


@contextlib.contextmanager
def _suppress_delegate_message() -> Iterator[None]:
    """Remove the runtime's log line from stderr; other output is delayed, not lost.

    LiteRT 2.3 has no option for this, so the file descriptor of stderr is redirected
    meanwhile, for all threads.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    try:
        stderr_copy = os.dup(_STDERR)
    except OSError:  # a service may have no stderr
        yield
        return
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), _STDERR)
        try:
            yield
        finally:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.flush()
            os.dup2(stderr_copy, _STDERR)
            os.close(stderr_copy)
            captured.seek(0)
            for line in captured:
                if line.rstrip() != _DELEGATE_MESSAGE:
                    os.write(_STDERR, line)
