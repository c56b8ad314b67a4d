"""What was left out of a set and why: one line a reason, however many files."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 3
_LONGEST = 60


class Notes:
    """Collects names under reasons; none is lost, few are shown."""

    def __init__(self) -> None:
        """Start without a note."""
        self._names: dict[tuple[str, str], list[str]] = {}

    def add(self, name: str, reason: str, one: str = "picture") -> None:
        """Note a name under a reason.

        Args:
            name: of a file, or of a class.
            reason: what is wrong and what was done about it.
            one: what the name is the name of.
        """
        self._names.setdefault((reason, one), []).append(name)

    def lines(self) -> tuple[str, ...]:
        """Return a line a reason, in the order they came up."""
        return tuple(
            f"{listing(names, one)}: {reason}"
            for (reason, one), names in self._names.items()
        )


def listing(names: Sequence[str], one: str) -> str:
    """Return how many names there are, and the first few.

    Names come from strangers: they are cut, and what cannot be printed is escaped.

    Args:
        names: at least one; the same one may stand there several times.
        one: what one of them is called.
    """
    single = list(dict.fromkeys(names))
    shown = ", ".join(shortened(name) for name in single[:_SHOWN])
    more = ", ..." if len(single) > _SHOWN else ""
    many = one if len(names) == 1 else _plural(one)
    return f"{len(names):,} {many} ({shown}{more})"


def shortened(name: str) -> str:
    """Return a name as it may stand in a line."""
    plain = name if name.isprintable() else ascii(name)[1:-1]
    return plain if len(plain) <= _LONGEST else f"...{plain[3 - _LONGEST :]}"


def _plural(one: str) -> str:
    return f"{one}es" if one.endswith(("s", "x")) else f"{one}s"
