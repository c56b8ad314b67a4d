"""Collect the problems of a data set and summarize them, one line per reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_MAX_NAMES = 3
_MAX_NAME_LENGTH = 60


@dataclass
class _Issue:
    """All names with the same problem."""

    reason: str
    noun: str
    is_error: bool
    missing: bool
    outcome: str
    hint: str
    names: list[str] = field(default_factory=list)

    def format(self) -> str:
        return f"{_summarize_names(self.names, self.noun)}: {self.reason}"


class Issues:
    """A collection of names by problem; the texts list only the first few names.

    An error means that a part of the data set is lost or wrong: strict readers stop
    at it, lenient readers leave the part out. All other issues are notes.
    """

    def __init__(self) -> None:
        """Create an empty collection."""
        self._issues: dict[tuple[str, str], _Issue] = {}

    def add(
        self,
        name: str,
        reason: str,
        noun: str = "image",
        *,
        is_error: bool = True,
        missing: bool = False,
        outcome: str = "left out",
        hint: str = "",
    ) -> None:
        """Add a name with a problem.

        Args:
            name: of a file or a class.
            reason: what is wrong.
            noun: kind of thing that has this name.
            is_error: whether a strict reader stops.
            missing: whether it is a missing file.
            outcome: what a lenient reader does about an error.
            hint: how the user can fix an error.
        """
        new = _Issue(reason, noun, is_error, missing, outcome, hint)
        self._issues.setdefault((reason, noun), new).names.append(name)

    def lines(self) -> tuple[str, ...]:
        """Return one line per reason, in order of occurrence."""
        return tuple(
            f"{item.format()}; {item.outcome}"
            if item.is_error and item.outcome
            else item.format()
            for item in self._issues.values()
        )

    def notes(self) -> tuple[str, ...]:
        """Return the lines of the issues that are not errors."""
        return tuple(
            item.format() for item in self._issues.values() if not item.is_error
        )

    def errors(self) -> tuple[str, ...]:
        """Return the lines of the errors."""
        return tuple(
            f"{item.format()}; {item.hint}" if item.hint else item.format()
            for item in self._issues.values()
            if item.is_error
        )

    @property
    def missing(self) -> bool:
        """Whether the first error is a missing file."""
        return next(
            (item.missing for item in self._issues.values() if item.is_error), False
        )


def _summarize_names(names: Sequence[str], noun: str) -> str:
    """Return the number of names and the first few of them.

    Names are untrusted: they are truncated, and unprintable ones are escaped.

    Args:
        names: at least one; may contain duplicates.
        noun: what a name stands for; its first word gets the plural.
    """
    unique = list(dict.fromkeys(names))
    listed = ", ".join(truncate_name(name) for name in unique[:_MAX_NAMES])
    more = ", ..." if len(unique) > _MAX_NAMES else ""
    return f"{len(names):,} {_pluralize(noun, len(names))} ({listed}{more})"


def truncate_name(name: str) -> str:
    """Return a printable name of limited length."""
    printable = name if name.isprintable() else ascii(name)[1:-1]
    return (
        printable
        if len(printable) <= _MAX_NAME_LENGTH
        else f"...{printable[3 - _MAX_NAME_LENGTH :]}"
    )


def _pluralize(noun: str, n: int) -> str:
    first, space, rest = noun.partition(" ")
    if n == 1:
        return noun
    if first in ("XML", "CSV", "label"):  # the second word is the noun
        return f"{noun}s"
    return f"{first}{'es' if first.endswith(('s', 'x')) else 's'}{space}{rest}"
