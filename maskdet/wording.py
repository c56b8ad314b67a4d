"""Counts with singular and plural nouns, for messages and pages."""

from __future__ import annotations


def pluralize(n: int, singular: str, plural: str = "") -> str:
    """Return the singular or plural noun for a count.

    Args:
        n: the count.
        singular: the noun for 1; it may be part of a phrase.
        plural: the noun for any other count; by default `singular` plus "s".
    """
    return singular if n == 1 else plural or f"{singular}s"


def format_count(n: int, singular: str, plural: str = "") -> str:
    """Return a count with its noun, such as "1 image" or "1,200 images"."""
    return f"{n:,} {pluralize(n, singular, plural)}"
