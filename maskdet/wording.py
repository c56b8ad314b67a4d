"""Nouns that agree with their number, for messages and pages."""

from __future__ import annotations


def pluralize(n: int, singular: str, plural: str = "") -> str:
    """Return the noun that goes with a number.

    Args:
        n: how many.
        singular: the noun for one; other words may stand around it.
        plural: the noun for any other number; `singular` with an "s" unless given.
    """
    return singular if n == 1 else plural or f"{singular}s"


def format_count(n: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun, as in "1 image" or "1,200 images"; see `pluralize`."""
    return f"{n:,} {pluralize(n, singular, plural)}"
