"""A report to hand on: one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from maskdet.tune.goals import Proposal

if TYPE_CHECKING:
    from maskdet.tune.comparing import Comparison
    from maskdet.tune.curves import Curve
    from maskdet.tune.judging import Outcome


def report_html(
    outcome: Outcome,
    *,
    proposal: Proposal | None = None,
    compared: Comparison | None = None,
    curves: Mapping[str, Curve] | None = None,
) -> str:
    """Return one page with numbers, charts, settings and goal; no script, no address.

    Args:
        outcome: what the settings do on the set.
        proposal: settings for a goal, to tell beside it.
        compared: another outcome on the same set, beside it.
        curves: by title, as in "Precision and recall, No mask"; drawn in this order.
    """
    raise NotImplementedError
