"""Nouns that agree with their number, for messages and pages."""

from __future__ import annotations


def noun(n: int, one: str, many: str = "") -> str:
    """Return the noun that goes with a number.

    Args:
        n: how many.
        one: the noun for one; other words may stand around it.
        many: the noun for any other number; `one` with an "s" unless given.
    """
    return one if n == 1 else many or f"{one}s"


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun, as in "1 image" or "1,200 images"; see `noun`."""
    return f"{n:,} {noun(n, one, many)}"
