"""The player of a result: annotated video, a lane for each person, and the events.

The browser seeks, and links video, lanes and events without running the page. The files
beside this module hold its HTML, CSS and JavaScript.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from maskdet.events import Event, describe_event
from maskdet.people import Person
from maskdet.serving.video_job import VideoAnalysisJob
from maskdet.style import Style
from maskdet.types import UNTRACKED, Label
from maskdet.video import VideoReport
from maskdet.web import session
from maskdet.web.components import add_video, load_component
from maskdet.web.image.overlay import describe_class
from maskdet.wording import format_count

MAX_LANES: Final = 200
"""Maximum number of lanes: the people who are seen longest."""

MAX_PLAYER_EVENTS: Final = 500
"""Maximum number of events in the table; the CSV file has all."""

_DIGITS: Final = 3
_LABELS: Final = tuple(Label)


def render_player(
    job: VideoAnalysisJob, report: VideoReport, annotated_url: str
) -> float:
    """Render the player; return the moment at which it is paused, in seconds.

    The moment is reported only if distances were measured.

    Args:
        job: the finished job.
        report: its result.
        annotated_url: URL of the annotated video.
    """
    key = f"video.player.{job.number}"
    state: Mapping[str, Any] = st.session_state.get(key) or {}
    is_blurred = (
        job.options.preferences.style.blur or session.get_preferences().style.blur
    )
    original_url = ""
    if state.get("original") and not is_blurred:
        kind = mimetypes.guess_type(job.name)[0] or ""
        original_url = add_video(
            job.read_original(),
            f"original {job.number}",
            kind if kind.startswith("video/") else "video/mp4",
        )
    load_component("maskdet.web.video", "player")(
        data={
            **build_player(report, job.options.preferences.style),
            "number": job.number,
            "video": annotated_url,
            "original": original_url,
            "offersOriginal": not is_blurred,
            "note": "Faces are blurred: no original." if is_blurred else "",
            "rotate": job.options.rotate,
            "sendsTime": job.options.preferences.settings.distance != "off",
        },
        key=key,
        on_time_s_change=lambda: None,
        on_original_change=lambda: None,
    )
    time_s = state.get("time_s")
    return float(time_s) if isinstance(time_s, int | float) else 0.0


def build_player(report: VideoReport, style: Style) -> dict[str, Any]:
    """Return lanes, events, classes and size for the browser; all texts are plain.

    Times are in seconds. The label of a span is its number in `classes`.
    """
    info = report.info
    events = report.events[:MAX_PLAYER_EVENTS]
    return {
        "width": info.width if info else 16,
        "height": info.height if info else 9,
        "duration": max(round(report.analyzed_s, _DIGITS), 0.1),
        "classes": [describe_class(label, style) for label in _LABELS],
        "lanes": _build_lanes(report, style),
        "events": [
            {
                "time": _event_time_s(report, event),
                "text": describe_event(event, style),
                "person": event.person,
            }
            for event in events
        ],
    }


def describe_left_out(report: VideoReport) -> str:
    """Return a line on the people and events that the player leaves out, or empty."""
    parts = []
    n_lanes = len(_select_people(report))
    if report.n_people > n_lanes:
        n_all = format_count(report.n_people, "person", "people")
        parts.append(f"The time line has the {n_lanes} of {n_all} seen longest.")
    n_listed = min(len(report.events), MAX_PLAYER_EVENTS)
    if report.n_events > n_listed:
        n_all = format_count(report.n_events, "event")
        parts.append(f"The table has {n_listed} of {n_all}; the CSV file has more.")
    return " ".join(parts)


def _select_people(report: VideoReport) -> Sequence[Person]:
    """Return the people with a lane, in order of their first detection."""
    people = [
        person for person in report.people if report.label_spans.get(person.track_id)
    ]
    longest = sorted(people, key=lambda person: -person.seen_s)[:MAX_LANES]
    return sorted(longest, key=lambda person: (person.first_s, person.track_id))


def _build_lanes(report: VideoReport, style: Style) -> list[dict[str, Any]]:
    marks = _collect_marks(report, style)
    return [
        {
            "id": person.track_id,
            "name": f"#{person.track_id}",
            "title": f"Person {person.track_id}",
            "spans": [
                (
                    round(span.start_s, _DIGITS),
                    round(span.end_s, _DIGITS),
                    _LABELS.index(span.label),
                )
                for span in report.label_spans[person.track_id]
            ],
            "marks": marks.get(person.track_id, []),
        }
        for person in _select_people(report)
    ]


def _collect_marks(
    report: VideoReport, style: Style
) -> dict[int, list[tuple[float, str, str]]]:
    """Return time, kind and text of the contacts and alerts of each person."""
    marks: dict[int, list[tuple[float, str, str]]] = {}
    for contact in report.contacts:
        pair = contact.first_id, contact.second_id
        for person, other in (pair, pair[::-1]):
            text = (
                f"first contact with person {other}, {contact.total_s:.0f} s in all, "
                f"closest {contact.min_distance:.1f} {contact.unit}"
            )
            mark = round(contact.start_s, _DIGITS), "contact", text
            marks.setdefault(person, []).append(mark)
    for event in report.events[:MAX_PLAYER_EVENTS]:
        if event.kind not in ("close", "alert"):
            continue
        mark = _event_time_s(report, event), "alert", describe_event(event, style)
        for person in {event.person, event.other} - {UNTRACKED}:
            marks.setdefault(person, []).append(mark)
    return marks


def _event_time_s(report: VideoReport, event: Event) -> float:
    return max(0.0, round(report.event_time_s(event), _DIGITS))
