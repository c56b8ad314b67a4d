"""Who is near whom in the live picture, as HTML that holds only our own words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maskdet.proximity import find_highest_risk_pair
from maskdet.style import Style, format_face_caption, format_pair_caption
from maskdet.types import Scene
from maskdet.web.live_run import LiveSnapshot
from maskdet.web.readings import STATS_CSS, stat_html

_MAX_CONTACTS = 6


def distances_html(snapshot: LiveSnapshot, style: Style) -> str:
    """Return the pair that matters most, how many are near, and contact minutes.

    Args:
        snapshot: the last frame that was analysed.
        style: whether people are named by their numbers.
    """
    contact_pairs = [pair for pair in snapshot.scene.pairs if pair.in_contact]
    total_s = sum(contact.total_s for contact in snapshot.scene.contacts)
    cells = "".join(
        (
            stat_html("Pairs near now", str(len(contact_pairs))),
            stat_html(
                "For too long", str(sum(pair.exceeds_limit for pair in contact_pairs))
            ),
            stat_html("Contact since Start", format_duration(total_s)),
        )
    )
    return (
        f'{STATS_CSS}<div class="maskdet-live maskdet-near">'
        "<section><h3>Most "
        f"pressing</h3>{_format_highest_risk_pair(snapshot.scene, style)}</section>"
        f'<section><dl class="three">{cells}</dl></section>'
        f"{_format_contacts(snapshot, style)}</div>"
    )


def highest_risk_pair_html(scene: Scene, style: Style) -> str:
    """Return the pair that matters most at one moment, in words.

    Args:
        scene: that moment; pairs without times are as good.
        style: whether people are named by their numbers.
    """
    return (
        f'{STATS_CSS}<div class="maskdet-live maskdet-near">'
        "<section><h3>Most "
        f"pressing</h3>{_format_highest_risk_pair(scene, style)}</section></div>"
    )


def format_duration(seconds: float) -> str:
    """Return a time in few words, as in "12 s" and "1.5 min"."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _format_highest_risk_pair(scene: Scene, style: Style) -> str:
    """Return the pair that is near with somebody bare, in words."""
    pair = find_highest_risk_pair(scene)
    if pair is None:
        return "<p><span>Nobody is near another without a mask.</span></p>"
    people = " and ".join(
        format_face_caption(
            scene.labels[row],
            float(scene.confidences[row]),
            replace(style, labels=True, percentages=False),
            track_id=int(np.asarray(scene.track_ids)[row]),
        )
        for row in (pair.first, pair.second)
    )
    distance_text = format_pair_caption(pair._replace(exceeds_limit=False))
    duration_html = (
        f"<p>Near for {format_duration(pair.contact_s)}</p>" if pair.contact_s else ""
    )
    return f"<p><b>{people}</b><b>{distance_text}</b></p>{duration_html}"


def _format_contacts(snapshot: LiveSnapshot, style: Style) -> str:
    """Return the pairs that were near for longest, if people have numbers."""
    if not style.ids or not snapshot.scene.contacts:
        return ""
    rows = "".join(
        f"<p><span>#{contact.first_id} and #{contact.second_id}</span>"
        f"<span>{format_duration(contact.total_s)}, at once "
        f"{format_duration(contact.longest_s)}</span></p>"
        for contact in snapshot.scene.contacts[:_MAX_CONTACTS]
    )
    n_more = len(snapshot.scene.contacts) - _MAX_CONTACTS
    more_html = f"<small>and {n_more} more pairs</small>" if n_more > 0 else ""
    return f"<section><h3>Contacts since Start</h3>{rows}{more_html}</section>"
