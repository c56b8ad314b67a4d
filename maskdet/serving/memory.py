"""What a server does with freed memory, where the C library can (glibc)."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_M_PERTURB: Final = -6  # of mallopt, in malloc.h


def overwrite_freed_memory() -> None:
    """Let the C library overwrite what is freed from now on.

    It keeps most of it for later, with the pixels of images: parts of pages, and the
    end of the memory of each thread, which `malloc_trim` does not reach. Blocks of up
    to 1 KB stay as they are. Memory that is reserved in excess is written too, which
    takes time.
    """
    # Freed bytes become 255, and with that value new ones 0.
    _call_c_library("mallopt", _M_PERTURB, 255)


def return_free_memory() -> None:
    """Give freed memory back to the system."""
    _call_c_library("malloc_trim", 0)


def _call_c_library(name: str, *arguments: int) -> None:
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*arguments)
