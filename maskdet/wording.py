"""Wording of messages and pages: counts with nouns, durations, reasons of errors."""

from __future__ import annotations

import re
from typing import Final

PERCENT: Final = "\N{NO-BREAK SPACE}%"
"""The percent sign after a number in the text of a page, on the same line."""


def join_percent(text: str) -> str:
    """Return the text of a page: no line ends between a number and its percent sign.

    Texts of the terminal, of files and in images have a plain space.
    """
    return re.sub(r"(?<=\d) %", PERCENT, text)


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


def format_elapsed(seconds: float) -> str:
    """Return a duration in one or two units, such as `2 min 5 s` or `3 h 20 min`."""
    minutes, rest_s = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest_s} s"
    hours, rest_min = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest_s} s"
    return f"{hours:,} h {rest_min} min"


def format_error_reason(error: Exception) -> str:
    """Return the message of an error, without the error number of an `OSError`."""
    if isinstance(error, OSError) and error.strerror:
        prefix = f"{error.filename}: " if error.filename is not None else ""
        return f"{prefix}{error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error) or type(error).__name__
