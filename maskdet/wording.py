"""Counted nouns, for messages and pages."""

from __future__ import annotations


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun, as in "1 image" or "1,200 images".

    Args:
        n: how many.
        one: the noun for one; it may come with words around it.
        many: the noun for several; `one` with an "s" unless given.
    """
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"
