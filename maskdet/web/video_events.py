"""What happened in a film: as a table, as a file, in the store if that is wanted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import streamlit as st

from maskdet.events import KINDS, Event, sentence
from maskdet.events.origin import LONGEST_NAME, camera_name
from maskdet.films import EventRows, VideoReport
from maskdet.style import DEFAULT_STYLE, Style, percent_number
from maskdet.types import UNTRACKED
from maskdet.web import events, video_moment
from maskdet.web.markdown import plain
from maskdet.web.video_job import FilmJob
from maskdet.web.video_plan import clock
from maskdet.web.video_recording import Recording
from maskdet.wording import counted

MOST_ROWS: Final = 500
"""Events in the table; the file has more."""

_REFRESH_S: Final = 1.0
_SHORT_S: Final = 0.3
"""A click waits so long: few events are written by then, and nobody sees it."""


def show(job: FilmJob, report: VideoReport) -> None:
    """Show the events of a film, and offer to record them where that is switched on."""
    st.subheader("What happened")
    if not report.events:
        st.markdown("Nothing happened: nobody came.")
        return
    key = f"video.happened.{job.number}.{video_moment.moves(job)}"
    shown = report.events[:MOST_ROWS]
    st.dataframe(
        table(report, shown, job.plan.preferences.style),
        key=key,
        hide_index=True,
        on_select=partial(_chosen, key, job, report, shown),
        selection_mode="single-row",
        column_config={
            "At": st.column_config.TextColumn(width=70),
            "What happened": st.column_config.TextColumn(width=330),
            "Confidence": st.column_config.NumberColumn(format="%.0f %%", width=80),
            "Person": st.column_config.NumberColumn(format="%d", width=70),
            "Other person": st.column_config.NumberColumn(format="%d", width=100),
        },
        placeholder="\N{EN DASH}",
        alt="Table of what happened in the film, in its order",
    )
    more = ""
    if report.n_events > len(shown):
        more = f" These are {len(shown)} of {counted(report.n_events, 'event')}."
    st.caption(
        "A label counts once it has stood for a second. Tick a row, and the film and "
        f"the picture above go to that moment.{more}"
    )
    if events.choices().record and events.database().url:
        _offer(job, report)


def table(
    report: VideoReport, shown: Sequence[Event], style: Style = DEFAULT_STYLE
) -> dict[str, list[Any]]:
    """Return the columns of the table of events, in film time."""
    return {
        "At": [clock(report.time_s(event)) for event in shown],
        "What happened": [sentence(event, style) for event in shown],
        "Event": [KINDS[event.kind] for event in shown],
        "Person": [_person(event.person) for event in shown],
        "Label": [style.title(event.label) for event in shown],
        "Confidence": [percent_number(event.confidence) or None for event in shown],
        "Other person": [_person(event.other) for event in shown],
    }


def csv_text(report: VideoReport) -> str:
    """Return the events as a file with the columns of the Events page's."""
    text = io.StringIO()
    EventRows(text).add(report.events)
    return text.getvalue()


def _person(number: int) -> int | None:
    return None if number == UNTRACKED else number


def _chosen(
    key: str, job: FilmJob, report: VideoReport, shown: Sequence[Event]
) -> None:
    """Go to the moment of the row that was ticked."""
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        video_moment.go_to(job, report, report.time_s(shown[rows[0]]))


def _offer(job: FilmJob, report: VideoReport) -> None:
    """Let the events be written to the store, once, as of when the film was taken."""
    begun = _recording(job)
    if begun is not None and _told(begun):
        return
    if not st.toggle(
        "Write these events to the store",
        key=f"video.record.{job.number}",
        help="The store of the Events page, which everybody sees who uses this server. "
        "Lines only, no picture.",
    ):
        return
    left, right = st.columns(2)
    left.text_input(
        "Name of the camera",
        camera_name(job.name),
        max_chars=LONGEST_NAME,
        key=f"video.camera.{job.number}",
    )
    with right:
        _ask_when(job, report)
    late = _late(_began(job, report))
    if late:
        st.warning(late, icon=":material/auto_delete:")
    st.button(
        f"Write {counted(len(report.events), 'event')}",
        type="primary",
        icon=":material/database:",
        disabled=bool(late),
        key=f"video.write.{job.number}",
        on_click=_write,
        args=(job, report),
    )


def _recording(job: FilmJob) -> Recording | None:
    """Return what writes this film's events, if somebody wanted that."""
    found: Recording | None = st.session_state.get(f"video.recording.{job.number}")
    return found


def _told(begun: Recording) -> bool:
    """Say what became of the events; whether that is all, and nothing need be asked."""
    if begun.busy:
        _progress(begun)
        return True
    if not begun.n_left:
        st.success(
            f"{counted(begun.n_all, 'event was', 'events were')} written; the Events "
            "page has them.",
            icon=":material/database:",
        )
        return True
    icon = ":material/database_off:"
    if not begun.n_written:
        st.error(plain(f"Not written: {begun.problem}."), icon=icon)
        return False
    all_were = counted(begun.n_all, "event was", "events were")
    done = f"Only {begun.n_written:,} of {all_were} written"
    st.error(plain(f"{done}: {begun.problem}."), icon=icon)
    st.button(
        "Write the rest",
        type="primary",
        icon=":material/database:",
        on_click=_go_on,
        args=(begun,),
    )
    return True


@st.fragment(run_every=_REFRESH_S)
def _progress(begun: Recording) -> None:
    """Show how far it is; alone, so that the film above plays on."""
    if not begun.busy:
        st.rerun()
    st.progress(
        begun.n_written / begun.n_all,
        f"Writing: {begun.n_written:,} of "
        f"{counted(begun.n_all, 'event is', 'events are')} in the store",
    )


def _go_on(begun: Recording) -> None:
    """Write what is left, and wait a moment for it."""
    begun.start()
    begun.join(_SHORT_S)


def _ask_when(job: FilmJob, report: VideoReport) -> None:
    says = report.info is not None and report.info.taken_at is not None
    st.datetime_input(
        "When the film began",
        _to_the_minute(report),
        # Another end with every run would make it another question.
        max_value=datetime.now(events.zone()).date() + timedelta(days=2),
        step=60,
        format="YYYY-MM-DD",
        required=True,
        key=f"video.began.{job.number}",
        help="The film says so itself."
        if says
        else "The film does not say when it was taken; this is when it was looked at.",
    )


def _began(job: FilmJob, report: VideoReport) -> datetime:
    """Return when the film was taken; as long as nobody changes it, it is exact."""
    usual = _to_the_minute(report)
    chosen: datetime | None = st.session_state.get(f"video.began.{job.number}")
    if chosen is None or chosen == usual:
        return report.started_at or datetime.now(UTC)
    return chosen.replace(tzinfo=events.zone())


def _to_the_minute(report: VideoReport) -> datetime:
    """Return when the film began by the visitor's clock, as they would type it."""
    known = (report.started_at or datetime.now(UTC)).astimezone(events.zone())
    return known.replace(second=0, microsecond=0, tzinfo=None)


def _late(began: datetime) -> str:
    """Return why events of a film are too old to be kept; empty if they are not."""
    days = events.database().days
    if began >= datetime.now(UTC) - timedelta(days=days):
        return ""
    return f"This server deletes events after {days} days: these would go at once."


def _write(job: FilmJob, report: VideoReport) -> None:
    """Begin to write the events down; how that goes is told by the next runs.

    Name and time are read here: who types and clicks at once means what was typed.
    """
    store, began = events.store(), _began(job, report)
    if store is None or report.started_at is None or _late(began):
        return
    begun = _recording(job)
    if begun is not None and (begun.busy or begun.n_written):
        return  # the second click of two
    named = camera_name(st.session_state.get(f"video.camera.{job.number}", ""))
    shift, camera = began - report.started_at, named or camera_name(job.name)
    moved = [
        replace(event, at=event.at + shift, camera=camera) for event in report.events
    ]
    begun = Recording(store, moved)
    st.session_state[f"video.recording.{job.number}"] = begun
    _go_on(begun)
