"""Names of many files or classes in one short line."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 3
_LONGEST = 60


def listing(names: Sequence[str], one: str = "file") -> str:
    """Return the first few of some names and how many there are.

    Names come from strangers: they are cut, and what cannot be printed is escaped.

    Args:
        names: at least one.
        one: what one of them is; more are called by it with an s.
    """
    n = len(names)
    shown = ", ".join(shortened(name) for name in names[:_SHOWN])
    more = ", ..." if n > _SHOWN else ""
    return f"{n:,} {one if n == 1 else one + 's'} ({shown}{more})"


def shortened(name: str) -> str:
    """Return a name as it may stand in a line."""
    plain = name if name.isprintable() else ascii(name)[1:-1]
    return plain if len(plain) <= _LONGEST else f"...{plain[3 - _LONGEST :]}"
