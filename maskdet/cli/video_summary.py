"""The lines in which `maskdet video` sums up a film."""

from __future__ import annotations

from maskdet.films import VideoReport
from maskdet.style import DEFAULT_STYLE, Style, format_percent
from maskdet.types import Label
from maskdet.wording import format_count


def summarize_video(report: VideoReport, style: Style = DEFAULT_STYLE) -> list[str]:
    """Return the summary of one film."""
    n = report.n_people
    people_text = {0: "nobody", 1: "1 person"}.get(n, f"{n} people")
    mask_rate = report.mask_rate
    mask_text = (
        ""
        if mask_rate is None
        else f", {format_percent(mask_rate)} of the time with a mask"
    )
    time_text = "the first " if report.error else ""
    lines = [
        f"{report.source}: {people_text} in {time_text}{report.analyzed_s:.1f} "
        f"s{mask_text}"
    ]
    if report.evicted_people.n_people:
        lines.append(f"  the newest {len(report.people)} of them:")
    for person in report.people:
        has_label = person.label is not Label.UNKNOWN
        label_text = style.title(person.label) + (
            f" {format_percent(person.confidence)}" if has_label else ""
        )
        time_text = f"{person.first_s:.1f} to {person.last_s:.1f} s"
        lines.append(f"  #{person.track_id:<4} {label_text:18} {time_text}")
    for contact in report.contacts:
        if contact.exceeds_limit:
            pair = f"#{contact.first_id} and #{contact.second_id}"
            unmasked_text = f", {contact.unmasked_s:.0f} s of it without a mask"
            unmasked_text = unmasked_text if contact.unmasked_s >= 1 else ""
            lines.append(
                f"  {pair} were close for {contact.total_s:.0f} s{unmasked_text}"
            )
    if report.evicted_contacts.n_over_limit:
        more_text = format_count(
            report.evicted_contacts.n_over_limit, "pair more was", "pairs more were"
        )
        lines.append(f"  and {more_text} close")
    return lines
