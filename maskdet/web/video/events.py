"""The events of a video: their recording to the database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import streamlit as st

from maskdet.events.event import MAX_CAMERA_NAME_LENGTH, clean_camera_name
from maskdet.serving.video_job import VideoAnalysisJob
from maskdet.video import VideoReport
from maskdet.web.events import service
from maskdet.web.video.recording import EventRecording
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count

_REFRESH_S: Final = 1.0
_WRITE_WAIT_S: Final = 0.3
"""A click waits this long, in which a few events are written without a progress bar."""


def render_event_recording(job: VideoAnalysisJob, report: VideoReport) -> None:
    """Render the recording of the events, if it is switched on for the server."""
    preferences, database = (
        service.get_event_preferences(),
        service.get_database_status(),
    )
    if report.events and preferences.record and database.url:
        _render_recording(job, report)


def _render_recording(job: VideoAnalysisJob, report: VideoReport) -> None:
    """Render the recording of the events, dated by the start time of the video."""
    writer = _get_recording(job)
    if writer is not None and _render_recording_status(writer):
        return
    if not st.toggle(
        "Record these events",
        key=f"video.record.{job.number}",
        help="Adds them to the event log of the Events page, which all users of this "
        "server can see. No images are stored.",
    ):
        return
    name_column, time_column = st.columns(2)
    name_column.text_input(
        "Camera name",
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
        f"Record {format_count(len(report.events), 'event')}",
        type="primary",
        icon=":material/database:",
        disabled=bool(retention_error),
        key=f"video.write.{job.number}",
        on_click=_start_recording,
        args=(job, report),
    )


def _get_recording(job: VideoAnalysisJob) -> EventRecording | None:
    """Return the recording of this video's events, or `None`."""
    writer: EventRecording | None = st.session_state.get(
        f"video.recording.{job.number}"
    )
    return writer


def _render_recording_status(writer: EventRecording) -> bool:
    """Render the status of a recording; return whether no new one may be started."""
    if writer.busy:
        _render_recording_progress(writer)
        return True
    if not writer.n_left:
        st.success(
            f"{format_count(writer.n_all, 'event was', 'events were')} recorded. See "
            "the Events page.",
            icon=":material/database:",
        )
        return True
    icon = ":material/database_off:"
    if not writer.n_written:
        st.error(escape_markdown(f"Not recorded: {writer.problem}."), icon=icon)
        return False
    all_were = format_count(writer.n_all, "event was", "events were")
    done = f"Only {writer.n_written:,} of {all_were} recorded"
    st.error(escape_markdown(f"{done}: {writer.problem}."), icon=icon)
    st.button(
        "Record the rest",
        type="primary",
        icon=":material/database:",
        on_click=_continue_recording,
        args=(writer,),
    )
    return True


@st.fragment(run_every=_REFRESH_S)
def _render_recording_progress(writer: EventRecording) -> None:
    """Render the progress in a fragment, so that the video above keeps playing."""
    if not writer.busy:
        st.rerun()
    st.progress(
        writer.n_written / writer.n_all,
        f"Recording: {writer.n_written:,} of {format_count(writer.n_all, 'event')}",
    )


def _continue_recording(writer: EventRecording) -> None:
    """Write the remaining events, and wait for a moment."""
    writer.start()
    writer.join(_WRITE_WAIT_S)


def _render_start_time(job: VideoAnalysisJob, report: VideoReport) -> None:
    is_dated = report.info is not None and report.info.taken_at is not None
    st.datetime_input(
        "Start time of the video",
        _get_default_start_time(report),
        # A limit that changes with every run would reset the widget.
        max_value=datetime.now(service.get_time_zone()).date() + timedelta(days=2),
        step=60,
        format="YYYY-MM-DD",
        required=True,
        key=f"video.start_time.{job.number}",
        help="From the video file."
        if is_dated
        else "The video file has no time; this is the time of the analysis.",
    )


def _get_start_time(job: VideoAnalysisJob, report: VideoReport) -> datetime:
    """Return the start time of the video; exact unless the visitor changed it."""
    default = _get_default_start_time(report)
    entered: datetime | None = st.session_state.get(f"video.start_time.{job.number}")
    if entered is None or entered == default:
        return report.started_at or datetime.now(UTC)
    return entered.replace(tzinfo=service.get_time_zone())


def _get_default_start_time(report: VideoReport) -> datetime:
    """Return the start time in the visitor's time zone, rounded down to minutes."""
    start_time = (report.started_at or datetime.now(UTC)).astimezone(
        service.get_time_zone()
    )
    return start_time.replace(second=0, microsecond=0, tzinfo=None)


def _get_retention_error(start_time: datetime) -> str:
    """Return an error if the events are older than the retention period, or empty."""
    days = service.get_database_status().keep_days
    if start_time >= datetime.now(UTC) - timedelta(days=days):
        return ""
    return f"This server deletes events after {days} days; these are older."


def _start_recording(job: VideoAnalysisJob, report: VideoReport) -> None:
    """Start to record the events; the next runs show the progress.

    Name and time are read here, in the callback, so that a value typed just before the
    click is used.
    """
    store, start_time = service.get_event_store(), _get_start_time(job, report)
    if store is None or report.started_at is None or _get_retention_error(start_time):
        return
    writer = _get_recording(job)
    if writer is not None and (writer.busy or writer.n_written):
        return  # a double click
    entered_name = clean_camera_name(
        st.session_state.get(f"video.camera.{job.number}", "")
    )
    offset = start_time - report.started_at
    camera = entered_name or clean_camera_name(job.name)
    shifted_events = [
        replace(event, at=event.at + offset, camera=camera) for event in report.events
    ]
    writer = EventRecording(store, shifted_events)
    st.session_state[f"video.recording.{job.number}"] = writer
    _continue_recording(writer)
