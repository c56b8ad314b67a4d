"""Whether a goal can be promised for pictures that nobody has seen yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from maskdet.metrics.estimate import Estimate

PromiseState: TypeAlias = Literal["kept", "open", "broken"]


@dataclass(frozen=True)
class Promise:
    """What was measured for a goal on pictures that nothing was chosen on.

    Attributes:
        state: `kept`: the whole 95 % interval is on the good side; `open`: the
            measured number is, or may be, but too few faces say so; `broken`: it is
            not.
        measured: the number that the goal is about.
        target: what it should be at least.
        needed: about how many faces of the class, on the reporting half, it would take
            to promise it if the number stays as measured; 0 where it is kept, None
            where no number would do.
        text: all this in a sentence.
    """

    state: PromiseState
    measured: Estimate
    target: float
    needed: int | None
    text: str
