"""What an analyzer said about a set, to and from a file: numbers, never pictures."""

from __future__ import annotations

from pathlib import Path

from maskdet.tune.scored import Scored


def to_bytes(scored: Scored) -> bytes:
    """Return it as the content of a compressed `.npz` file."""
    raise NotImplementedError


def from_bytes(content: bytes, name: str = "this file") -> Scored:
    """Return what `to_bytes` wrote; nothing in the file is run.

    Args:
        content: of the file.
        name: of the file, for the message.

    Raises:
        ValueError: it is broken, too large, or something else; one line says what.
    """
    raise NotImplementedError


def read_scored(path: str | Path) -> Scored:
    """Return what is stored in a file; see `from_bytes`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; one line says why.
    """
    raise NotImplementedError


def nameless(scored: Scored) -> Scored:
    """Return the same with the names of pictures replaced by numbers."""
    raise NotImplementedError
