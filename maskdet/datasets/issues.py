"""What is wrong with a data set: one line a reason, however many files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_SHOWN = 3
_LONGEST = 60


@dataclass
class _Issue:
    """Everything that is wrong for one reason."""

    reason: str
    noun: str
    stops: bool
    missing: bool
    outcome: str
    hint: str
    names: list[str] = field(default_factory=list)

    def line(self) -> str:
        return f"{listing(self.names, self.noun)}: {self.reason}"


class Issues:
    """Collects names under reasons; none is lost, few are shown.

    An issue that stops is one after which something of the set is lost or wrong:
    whoever reads strictly ends there, whoever reads leniently goes on without it. The
    others are only told.
    """

    def __init__(self) -> None:
        """Start without an issue."""
        self._found: dict[tuple[str, str], _Issue] = {}

    def add(
        self,
        name: str,
        reason: str,
        noun: str = "image",
        *,
        stops: bool = True,
        missing: bool = False,
        outcome: str = "left out",
        hint: str = "",
    ) -> None:
        """Note a name under a reason.

        Args:
            name: of a file, or of a class.
            reason: what is wrong.
            noun: what the name is the name of.
            stops: whether a strict reader ends.
            missing: whether it is a file that is not there.
            outcome: what a lenient reader does about what stops others.
            hint: what a person can do who was stopped.
        """
        new = _Issue(reason, noun, stops, missing, outcome, hint)
        self._found.setdefault((reason, noun), new).names.append(name)

    def extend(self, other: Issues) -> None:
        """Take over what another one collected."""
        for key, issue in other._found.items():
            self._found.setdefault(key, issue)

    def lines(self) -> tuple[str, ...]:
        """Return a line a reason, in the order they came up."""
        return tuple(
            f"{item.line()}; {item.outcome}"
            if item.stops and item.outcome
            else item.line()
            for item in self._found.values()
        )

    def notes(self) -> tuple[str, ...]:
        """Return the lines of what does not stop anybody."""
        return tuple(item.line() for item in self._found.values() if not item.stops)

    def stopping(self) -> tuple[str, ...]:
        """Return the lines of what stops a strict reader."""
        return tuple(
            f"{item.line()}; {item.hint}" if item.hint else item.line()
            for item in self._found.values()
            if item.stops
        )

    @property
    def missing(self) -> bool:
        """Whether the first that stops is a file that is not there."""
        return next(
            (item.missing for item in self._found.values() if item.stops), False
        )


def listing(names: Sequence[str], noun: str) -> str:
    """Return how many names there are, and the first few.

    Names come from strangers: they are cut, and what cannot be printed is escaped.

    Args:
        names: at least one; the same one may stand there several times.
        noun: what one of them is called; its first word gets the plural.
    """
    single = list(dict.fromkeys(names))
    shown = ", ".join(shortened(name) for name in single[:_SHOWN])
    more = ", ..." if len(single) > _SHOWN else ""
    return f"{len(names):,} {_counted(noun, len(names))} ({shown}{more})"


def shortened(name: str) -> str:
    """Return a name as it may stand in a line."""
    plain = name if name.isprintable() else ascii(name)[1:-1]
    return plain if len(plain) <= _LONGEST else f"...{plain[3 - _LONGEST :]}"


def _counted(noun: str, n: int) -> str:
    first, space, rest = noun.partition(" ")
    if n == 1:
        return noun
    if first in ("XML", "CSV", "label"):  # the second word is the noun
        return f"{noun}s"
    return f"{first}{'es' if first.endswith(('s', 'x')) else 's'}{space}{rest}"
