"""Who is near whom in the live picture, as HTML that holds only our own words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maskdet.proximity import most_pressing
from maskdet.style import Style, describe, describe_pair
from maskdet.types import Scene
from maskdet.web.live_run import View
from maskdet.web.readings import LOOK, cell_html

_MOST_PAIRS = 6


def distances_html(view: View, style: Style) -> str:
    """Return the pair that matters most, how many are near, and contact minutes.

    Args:
        view: the last frame that was analysed.
        style: whether people are named by their numbers.
    """
    near = [pair for pair in view.scene.pairs if pair.in_contact]
    total_s = sum(contact.total_s for contact in view.scene.contacts)
    cells = "".join(
        (
            cell_html("Pairs near now", str(len(near))),
            cell_html("For too long", str(sum(pair.exceeds_limit for pair in near))),
            cell_html("Contact since Start", span(total_s)),
        )
    )
    return (
        f'{LOOK}<div class="maskdet-live maskdet-near">'
        f"<section><h3>Most pressing</h3>{_pressing(view.scene, style)}</section>"
        f'<section><dl class="three">{cells}</dl></section>'
        f"{_contacts(view, style)}</div>"
    )


def pressing_html(scene: Scene, style: Style) -> str:
    """Return the pair that matters most at one moment, in words.

    Args:
        scene: that moment; pairs without times are as good.
        style: whether people are named by their numbers.
    """
    return (
        f'{LOOK}<div class="maskdet-live maskdet-near">'
        f"<section><h3>Most pressing</h3>{_pressing(scene, style)}</section></div>"
    )


def span(seconds: float) -> str:
    """Return a time in few words, as in "12 s" and "1.5 min"."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _pressing(scene: Scene, style: Style) -> str:
    """Return the pair that is near with somebody bare, in words."""
    pair = most_pressing(scene)
    if pair is None:
        return "<p><span>Nobody is near another without a mask.</span></p>"
    people = " and ".join(
        describe(
            scene.labels[row],
            float(scene.confidences[row]),
            replace(style, labels=True, percentages=False),
            track_id=int(np.asarray(scene.track_ids)[row]),
        )
        for row in (pair.first, pair.second)
    )
    apart = describe_pair(pair._replace(exceeds_limit=False))
    lasted = f"<p>Near for {span(pair.contact_s)}</p>" if pair.contact_s else ""
    return f"<p><b>{people}</b><b>{apart}</b></p>{lasted}"


def _contacts(view: View, style: Style) -> str:
    """Return the pairs that were near for longest, if people have numbers."""
    if not style.ids or not view.scene.contacts:
        return ""
    rows = "".join(
        f"<p><span>#{one.first_id} and #{one.second_id}</span>"
        f"<span>{span(one.total_s)}, at once {span(one.longest_s)}</span></p>"
        for one in view.scene.contacts[:_MOST_PAIRS]
    )
    more = len(view.scene.contacts) - _MOST_PAIRS
    rest = f"<small>and {more} more pairs</small>" if more > 0 else ""
    return f"<section><h3>Contacts since Start</h3>{rows}{rest}</section>"
