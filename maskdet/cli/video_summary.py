"""The lines in which `maskdet video` sums up a film."""

from __future__ import annotations

from maskdet.films import VideoReport
from maskdet.style import DEFAULT_STYLE, Style, percent
from maskdet.types import Label
from maskdet.wording import counted


def summary_lines(report: VideoReport, style: Style = DEFAULT_STYLE) -> list[str]:
    """Return the summary of one film."""
    n = report.n_people
    who = {0: "nobody", 1: "1 person"}.get(n, f"{n} people")
    share = report.mask_rate
    worn = "" if share is None else f", {percent(share)} of the time with a mask"
    when = "the first " if report.error else ""
    lines = [f"{report.source}: {who} in {when}{report.analyzed_s:.1f} s{worn}"]
    if report.earlier.n_people:
        lines.append(f"  the newest {len(report.people)} of them:")
    for person in report.people:
        sure = person.label is not Label.UNKNOWN
        what = style.title(person.label) + (
            f" {percent(person.confidence)}" if sure else ""
        )
        when = f"{person.first_s:.1f} to {person.last_s:.1f} s"
        lines.append(f"  #{person.track_id:<4} {what:18} {when}")
    for contact in report.contacts:
        if contact.exceeds_limit:
            pair = f"#{contact.first_id} and #{contact.second_id}"
            bare = f", {contact.unmasked_s:.0f} s of it without a mask"
            bare = bare if contact.unmasked_s >= 1 else ""
            lines.append(f"  {pair} were close for {contact.total_s:.0f} s{bare}")
    if report.other_contacts.n_too_long:
        more = counted(
            report.other_contacts.n_too_long, "pair more was", "pairs more were"
        )
        lines.append(f"  and {more} close")
    return lines
