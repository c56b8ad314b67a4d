"""What happened in a video: as a table, as a file, in the store if that is wanted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import streamlit as st

from maskdet.events import EVENT_KINDS, Event, describe_event
from maskdet.events.event import MAX_CAMERA_NAME_LENGTH, clean_camera_name
from maskdet.style import DEFAULT_STYLE, Style, to_display_percent
from maskdet.types import UNTRACKED
from maskdet.video import EventCsvWriter, VideoReport
from maskdet.web.events import service
from maskdet.web.video import moment
from maskdet.web.video.job import VideoAnalysisJob, format_video_time
from maskdet.web.video.recording import EventRecording
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count

MAX_VIDEO_EVENTS: Final = 500
"""Events in the table; the file has more."""

_REFRESH_S: Final = 1.0
_WRITE_WAIT_S: Final = 0.3
"""A click waits so long: few events are written by then, and nobody sees it."""


def render_video_events(job: VideoAnalysisJob, report: VideoReport) -> None:
    """Show the events of a video, and offer to record them where that is switched on."""
    st.subheader("What happened")
    if not report.events:
        st.markdown("Nothing happened: nobody came.")
        return
    key = f"video.happened.{job.number}.{moment.count_slider_moves(job)}"
    listed_events = report.events[:MAX_VIDEO_EVENTS]
    st.dataframe(
        video_event_table(report, listed_events, job.options.preferences.style),
        key=key,
        hide_index=True,
        on_select=partial(_seek_selected_event, key, job, report, listed_events),
        selection_mode="single-row",
        column_config={
            "At": st.column_config.TextColumn(width=70),
            "What happened": st.column_config.TextColumn(width=330),
            "Confidence": st.column_config.NumberColumn(format="%.0f %%", width=80),
            "Person": st.column_config.NumberColumn(format="%d", width=70),
            "Other person": st.column_config.NumberColumn(format="%d", width=100),
        },
        placeholder="\N{EN DASH}",
        alt="Table of what happened in the video, in its order",
    )
    more = ""
    if report.n_events > len(listed_events):
        more = f" These are {len(listed_events)} of {format_count(report.n_events, 'event')}."
    st.caption(
        "A label counts once it has stood for a second. Tick a row, and the video and "
        f"the image above go to that moment.{more}"
    )
    if service.get_event_preferences().record and service.get_database_status().url:
        _render_recording(job, report)


def video_event_table(
    report: VideoReport, listed_events: Sequence[Event], style: Style = DEFAULT_STYLE
) -> dict[str, list[Any]]:
    """Return the columns of the table of events, in video time."""
    return {
        "At": [
            format_video_time(report.event_time_s(event)) for event in listed_events
        ],
        "What happened": [describe_event(event, style) for event in listed_events],
        "Event": [EVENT_KINDS[event.kind] for event in listed_events],
        "Person": [_get_person_or_none(event.person) for event in listed_events],
        "Label": [style.title(event.label) for event in listed_events],
        "Confidence": [
            to_display_percent(event.confidence) or None for event in listed_events
        ],
        "Other person": [_get_person_or_none(event.other) for event in listed_events],
    }


def video_events_csv(report: VideoReport) -> str:
    """Return the events as a file with the columns of the Events page's."""
    text = io.StringIO()
    EventCsvWriter(text).add(report.events)
    return text.getvalue()


def _get_person_or_none(track_id: int) -> int | None:
    return None if track_id == UNTRACKED else track_id


def _seek_selected_event(
    key: str, job: VideoAnalysisJob, report: VideoReport, listed_events: Sequence[Event]
) -> None:
    """Go to the moment of the row that was ticked."""
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        moment.seek_moment(job, report, report.event_time_s(listed_events[rows[0]]))


def _render_recording(job: VideoAnalysisJob, report: VideoReport) -> None:
    """Let the events be written to the store, once, as of when the video was taken."""
    writer = _get_recording(job)
    if writer is not None and _render_recording_status(writer):
        return
    if not st.toggle(
        "Write these events to the store",
        key=f"video.record.{job.number}",
        help="The store of the Events page, which everybody sees who uses this server. "
        "Lines only, no image.",
    ):
        return
    name_column, time_column = st.columns(2)
    name_column.text_input(
        "Name of the camera",
        clean_camera_name(job.name),
        max_chars=MAX_CAMERA_NAME_LENGTH,
        key=f"video.camera.{job.number}",
    )
    with time_column:
        _render_start_time(job, report)
    retention_error = _get_retention_error(_get_start_time(job, report))
    if retention_error:
        st.warning(retention_error, icon=":material/auto_delete:")
    st.button(
        f"Write {format_count(len(report.events), 'event')}",
        type="primary",
        icon=":material/database:",
        disabled=bool(retention_error),
        key=f"video.write.{job.number}",
        on_click=_start_recording,
        args=(job, report),
    )


def _get_recording(job: VideoAnalysisJob) -> EventRecording | None:
    """Return what writes this video's events, if somebody wanted that."""
    writer: EventRecording | None = st.session_state.get(
        f"video.recording.{job.number}"
    )
    return writer


def _render_recording_status(writer: EventRecording) -> bool:
    """Say what became of the events; whether that is all, and nothing need be asked."""
    if writer.busy:
        _render_recording_progress(writer)
        return True
    if not writer.n_left:
        st.success(
            f"{format_count(writer.n_all, 'event was', 'events were')} written; the "
            "Events "
            "page has them.",
            icon=":material/database:",
        )
        return True
    icon = ":material/database_off:"
    if not writer.n_written:
        st.error(escape_markdown(f"Not written: {writer.problem}."), icon=icon)
        return False
    all_were = format_count(writer.n_all, "event was", "events were")
    done = f"Only {writer.n_written:,} of {all_were} written"
    st.error(escape_markdown(f"{done}: {writer.problem}."), icon=icon)
    st.button(
        "Write the rest",
        type="primary",
        icon=":material/database:",
        on_click=_continue_recording,
        args=(writer,),
    )
    return True


@st.fragment(run_every=_REFRESH_S)
def _render_recording_progress(writer: EventRecording) -> None:
    """Show how far it is; alone, so that the video above plays on."""
    if not writer.busy:
        st.rerun()
    st.progress(
        writer.n_written / writer.n_all,
        f"Writing: {writer.n_written:,} of "
        f"{format_count(writer.n_all, 'event is', 'events are')} in the store",
    )


def _continue_recording(writer: EventRecording) -> None:
    """Write what is left, and wait a moment for it."""
    writer.start()
    writer.join(_WRITE_WAIT_S)


def _render_start_time(job: VideoAnalysisJob, report: VideoReport) -> None:
    is_dated = report.info is not None and report.info.taken_at is not None
    st.datetime_input(
        "When the video began",
        _get_default_start_time(report),
        # Another end with every run would make it another question.
        max_value=datetime.now(service.get_time_zone()).date() + timedelta(days=2),
        step=60,
        format="YYYY-MM-DD",
        required=True,
        key=f"video.began.{job.number}",
        help="The video says so itself."
        if is_dated
        else "The video does not say when it was taken; this is when it was looked at.",
    )


def _get_start_time(job: VideoAnalysisJob, report: VideoReport) -> datetime:
    """Return when the video was taken; as long as nobody changes it, it is exact."""
    default = _get_default_start_time(report)
    entered: datetime | None = st.session_state.get(f"video.began.{job.number}")
    if entered is None or entered == default:
        return report.started_at or datetime.now(UTC)
    return entered.replace(tzinfo=service.get_time_zone())


def _get_default_start_time(report: VideoReport) -> datetime:
    """Return when the video began by the visitor's clock, as they would type it."""
    start_time = (report.started_at or datetime.now(UTC)).astimezone(
        service.get_time_zone()
    )
    return start_time.replace(second=0, microsecond=0, tzinfo=None)


def _get_retention_error(start_time: datetime) -> str:
    """Return why events of a video are too old to be kept; empty if they are not."""
    days = service.get_database_status().keep_days
    if start_time >= datetime.now(UTC) - timedelta(days=days):
        return ""
    return f"This server deletes events after {days} days: these would go at once."


def _start_recording(job: VideoAnalysisJob, report: VideoReport) -> None:
    """Begin to write the events down; how that goes is told by the next runs.

    Name and time are read here: who types and clicks at once means what was typed.
    """
    store, start_time = service.get_event_store(), _get_start_time(job, report)
    if store is None or report.started_at is None or _get_retention_error(start_time):
        return
    writer = _get_recording(job)
    if writer is not None and (writer.busy or writer.n_written):
        return  # the second click of two
    entered_name = clean_camera_name(
        st.session_state.get(f"video.camera.{job.number}", "")
    )
    offset, camera = (
        start_time - report.started_at,
        entered_name or clean_camera_name(job.name),
    )
    shifted_events = [
        replace(event, at=event.at + offset, camera=camera) for event in report.events
    ]
    writer = EventRecording(store, shifted_events)
    st.session_state[f"video.recording.{job.number}"] = writer
    _continue_recording(writer)
