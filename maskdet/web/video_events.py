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
from maskdet.events.store import StoreError
from maskdet.films import EventRows, FilmReport
from maskdet.types import UNTRACKED
from maskdet.web import events, video_moment
from maskdet.web.markdown import plain
from maskdet.web.video_job import FilmJob
from maskdet.web.video_plan import clock

MOST_ROWS: Final = 500
"""Events in the table; the file has more."""


def show(job: FilmJob, report: FilmReport) -> None:
    """Show the events of a film, and offer to record them where that is switched on."""
    st.subheader("What happened")
    if not report.events:
        st.markdown("Nothing happened: nobody came.")
        return
    key = f"video.happened.{job.number}.{video_moment.moves(job)}"
    shown = report.events[:MOST_ROWS]
    st.dataframe(
        table(report, shown),
        key=key,
        hide_index=True,
        on_select=partial(_chosen, key, job, report, shown),
        selection_mode="single-row",
        column_config={
            "At": st.column_config.TextColumn(width=70),
            "What happened": st.column_config.TextColumn(width=330),
            "Certainty": st.column_config.NumberColumn(format="%.0f %%", width=80),
            "Person": st.column_config.NumberColumn(format="%d", width=70),
            "Other person": st.column_config.NumberColumn(format="%d", width=100),
        },
        placeholder="\N{EN DASH}",
        alt="Table of what happened in the film, in its order",
    )
    more = ""
    if report.n_events > len(shown):
        more = f" These are {len(shown)} of {report.n_events:,} events."
    st.caption(
        "A label counts once it has stood for a second. Tick a row, and the film and "
        f"the picture above go to that moment.{more}"
    )
    if events.choices().record and events.database().url:
        _offer(job, report)


def table(report: FilmReport, shown: Sequence[Event]) -> dict[str, list[Any]]:
    """Return the columns of the table of events, in film time."""
    return {
        "At": [clock(report.time_s(event)) for event in shown],
        "What happened": [sentence(event) for event in shown],
        "Event": [KINDS[event.kind] for event in shown],
        "Person": [_person(event.person) for event in shown],
        "Label": [event.label.title for event in shown],
        "Certainty": [100 * event.certainty or None for event in shown],
        "Other person": [_person(event.other) for event in shown],
    }


def csv_text(report: FilmReport) -> str:
    """Return the events as a file with the columns of the Events page's."""
    text = io.StringIO()
    EventRows(text).add(report.events)
    return text.getvalue()


def _person(number: int) -> int | None:
    return None if number == UNTRACKED else number


def _chosen(key: str, job: FilmJob, report: FilmReport, shown: Sequence[Event]) -> None:
    """Go to the moment of the row that was ticked."""
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        video_moment.go_to(job, report, report.time_s(shown[rows[0]]))


def _offer(job: FilmJob, report: FilmReport) -> None:
    """Let the events be written to the store, once, as of when the film was taken."""
    told: str = st.session_state.get(f"video.recorded.{job.number}", "")
    if told:
        st.success(told, icon=":material/database:")
        return
    trouble: str = st.session_state.pop(f"video.not_recorded.{job.number}", "")
    if trouble:
        st.error(trouble, icon=":material/database_off:")
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
        f"Write {len(report.events):,} events",
        type="primary",
        icon=":material/database:",
        disabled=bool(late),
        key=f"video.write.{job.number}",
        on_click=_write,
        args=(job, report),
    )


def _ask_when(job: FilmJob, report: FilmReport) -> None:
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


def _began(job: FilmJob, report: FilmReport) -> datetime:
    """Return when the film was taken; as long as nobody changes it, it is exact."""
    usual = _to_the_minute(report)
    chosen: datetime | None = st.session_state.get(f"video.began.{job.number}")
    if chosen is None or chosen == usual:
        return report.began or datetime.now(UTC)
    return chosen.replace(tzinfo=events.zone())


def _to_the_minute(report: FilmReport) -> datetime:
    """Return when the film began by the visitor's clock, as they would type it."""
    known = (report.began or datetime.now(UTC)).astimezone(events.zone())
    return known.replace(second=0, microsecond=0, tzinfo=None)


def _late(began: datetime) -> str:
    """Return why events of a film are too old to be kept; empty if they are not."""
    days = events.database().days
    if began >= datetime.now(UTC) - timedelta(days=days):
        return ""
    return f"This server deletes events after {days} days: these would go at once."


def _write(job: FilmJob, report: FilmReport) -> None:
    """Write the events down, and note what there is to say of it.

    Name and time are read here: who types and clicks at once means what was typed.
    """
    store, began = events.store(), _began(job, report)
    if store is None or report.began is None or _late(began):
        return
    if f"video.recorded.{job.number}" in st.session_state:
        return  # the second click of two
    named = camera_name(st.session_state.get(f"video.camera.{job.number}", ""))
    shift, camera = began - report.began, named or camera_name(job.name)
    moved = [
        replace(event, at=event.at + shift, camera=camera) for event in report.events
    ]
    try:
        store.add(moved)
    except StoreError as error:
        line = plain(f"Not written: {error}.")
        st.session_state[f"video.not_recorded.{job.number}"] = line
        return
    st.session_state[f"video.recorded.{job.number}"] = (
        f"{len(moved):,} events were written; the Events page has them."
    )
