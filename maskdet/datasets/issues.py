"""What is wrong with a data set: one line a reason, however many files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_MAX_NAMES = 3
_MAX_NAME_LENGTH = 60


@dataclass
class _Issue:
    """Everything that is wrong for one reason."""

    reason: str
    noun: str
    is_error: bool
    missing: bool
    outcome: str
    hint: str
    names: list[str] = field(default_factory=list)

    def format(self) -> str:
        return f"{summarize_names(self.names, self.noun)}: {self.reason}"


class Issues:
    """Collects names under reasons; none is lost, few are shown.

    An issue that stops is one after which something of the set is lost or wrong:
    whoever reads strictly ends there, whoever reads leniently goes on without it. The
    others are only told.
    """

    def __init__(self) -> None:
        """Start without an issue."""
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
        """Note a name under a reason.

        Args:
            name: of a file, or of a class.
            reason: what is wrong.
            noun: what the name is the name of.
            is_error: whether a strict reader ends.
            missing: whether it is a file that is not there.
            outcome: what a lenient reader does about what stops others.
            hint: what a person can do who was stopped.
        """
        new = _Issue(reason, noun, is_error, missing, outcome, hint)
        self._issues.setdefault((reason, noun), new).names.append(name)

    def extend(self, other: Issues) -> None:
        """Take over what another one collected."""
        for key, issue in other._issues.items():
            self._issues.setdefault(key, issue)

    def lines(self) -> tuple[str, ...]:
        """Return a line a reason, in the order they came up."""
        return tuple(
            f"{item.format()}; {item.outcome}"
            if item.is_error and item.outcome
            else item.format()
            for item in self._issues.values()
        )

    def notes(self) -> tuple[str, ...]:
        """Return the lines of what does not stop anybody."""
        return tuple(
            item.format() for item in self._issues.values() if not item.is_error
        )

    def errors(self) -> tuple[str, ...]:
        """Return the lines of what stops a strict reader."""
        return tuple(
            f"{item.format()}; {item.hint}" if item.hint else item.format()
            for item in self._issues.values()
            if item.is_error
        )

    @property
    def missing(self) -> bool:
        """Whether the first that stops is a file that is not there."""
        return next(
            (item.missing for item in self._issues.values() if item.is_error), False
        )


def summarize_names(names: Sequence[str], noun: str) -> str:
    """Return how many names there are, and the first few.

    Names come from strangers: they are cut, and what cannot be printed is escaped.

    Args:
        names: at least one; the same one may stand there several times.
        noun: what one of them is called; its first word gets the plural.
    """
    unique = list(dict.fromkeys(names))
    listed = ", ".join(truncate_name(name) for name in unique[:_MAX_NAMES])
    more = ", ..." if len(unique) > _MAX_NAMES else ""
    return f"{len(names):,} {_pluralize(noun, len(names))} ({listed}{more})"


def truncate_name(name: str) -> str:
    """Return a name as it may stand in a line."""
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
