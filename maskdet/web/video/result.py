"""Result of a video analysis: player, charts, people, contacts and downloads."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import streamlit as st

from maskdet.charts.video import video_charts
from maskdet.html_templates import encode_data_url
from maskdet.people import Person
from maskdet.serving.video_job import VideoAnalysisJob, format_video_time
from maskdet.style import (
    DEFAULT_STYLE,
    Style,
    to_display_percent,
)
from maskdet.types import Contact, Label
from maskdet.video import VideoReport, reports_to_json, timeline_bin_to_dict
from maskdet.web.components import add_video
from maskdet.web.events import service
from maskdet.web.image import results
from maskdet.web.video import distance, events
from maskdet.web.video.player import describe_left_out, render_player
from maskdet.web.video.upload import render_storage_note, render_video_heading
from maskdet.web.widgets import (
    Download,
    escape_markdown,
    list_report_tiles,
    metrics_html,
    render_downloads,
)
from maskdet.wording import format_count

_MAX_ROWS: Final = 12
"""A table of people with more rows scrolls inside."""


def render_video_result(job: VideoAnalysisJob, report: VideoReport) -> None:
    """Render the result; the player runs only its own part of the page again."""
    _render_heading(job, report)
    preferences = job.options.preferences
    has_distances = preferences.settings.distance != "off"
    st.html(
        metrics_html(
            list_report_tiles(report, preferences.style, has_distances=has_distances)
        )
    )
    if job.annotated_path is not None:
        annotated_url = add_video(job.read_annotated(), f"annotated {job.number}")
        _render_player(job, report, annotated_url)
    _render_people(report, crops=job.options.keep_crops, style=preferences.style)
    _render_charts(report, preferences.style)
    _render_contacts(report, has_distances=has_distances)
    events.render_event_recording(job, report)
    _render_video_downloads(job, report)
    render_storage_note(job)


def _render_heading(job: VideoAnalysisJob, report: VideoReport) -> None:
    info = report.info
    n_frames = report.n_frames
    parts = [format_video_time(report.analyzed_s), format_count(n_frames, "frame")]
    if info is not None:
        parts.insert(0, f"{info.width} x {info.height}")
        parts.append("with sound" if info.has_audio else "without sound")
    render_video_heading(job, parts)
    if report.error:
        st.warning(
            f"Could not read the video after {format_video_time(report.analyzed_s)}: "
            f"{escape_markdown(report.error)}. These are the results up to there.",
            icon=":material/warning:",
        )
    elif not report.is_complete:
        st.info(
            f"Stopped at {format_video_time(report.analyzed_s)}. These are the results "
            "up to there.",
            icon=":material/stop_circle:",
        )
    if info is not None and info.rate_is_assumed:
        st.caption(
            f"This file has no time stamps; assuming {float(info.frame_rate):g} fps."
        )
    if report.pipeline:
        st.caption(escape_markdown(f"{report.pipeline}."))
    if report.note:
        st.caption(
            f"The annotated video is incomplete: {escape_markdown(report.note)}."
        )


@st.fragment
def _render_player(
    job: VideoAnalysisJob, report: VideoReport, annotated_url: str
) -> None:
    """Render the player, and the distances at the moment at which it is paused."""
    if job.state != "done":
        st.rerun()
    at_s = render_player(job, report, annotated_url)
    note = describe_left_out(report)
    if note:
        st.caption(note)
    distance.render_moment_distances(job, report, at_s)


def _render_charts(report: VideoReport, style: Style) -> None:
    bins = list(map(timeline_bin_to_dict, report.timeline))
    for chart in video_charts(bins, style=style).values():
        st.vega_lite_chart(chart)


def _render_people(report: VideoReport, *, crops: bool, style: Style) -> None:
    st.header("People")
    if not report.people:
        st.info(
            "No people found. Lower **Face detection threshold** or **Minimum face "
            "size** in the sidebar and re-analyze.",
            icon=":material/person_off:",
        )
        return
    percent = st.column_config.NumberColumn(
        format="%.0f %%",
        help="Mean confidence of the label while it lasted.",
    )
    st.dataframe(
        people_table(report.people, crops=crops, style=style),
        hide_index=True,
        row_height=72 if crops else None,
        height="content" if len(report.people) <= _MAX_ROWS else "auto",
        column_config={
            "Confidence": percent,
            "Thumbnail": st.column_config.ImageColumn(width="small"),
            "Seen for (s)": st.column_config.NumberColumn(format="%.1f"),
        },
        alt="Table of the people: ID, label, confidence, when they were seen",
    )


def people_table(
    people: tuple[Person, ...], *, crops: bool, style: Style = DEFAULT_STYLE
) -> dict[str, list[Any]]:
    """Return the columns of the table of people."""
    columns: dict[str, list[Any]] = {"Person": [person.track_id for person in people]}
    if crops:
        columns["Thumbnail"] = [
            encode_data_url(person.crop) if person.crop else None for person in people
        ]
    columns |= {
        "Label": [style.title(person.label) for person in people],
        "Confidence": [
            None
            if person.label is Label.UNKNOWN
            else to_display_percent(person.confidence)
            for person in people
        ],
        "First seen": [format_video_time(person.first_s) for person in people],
        "Last seen": [format_video_time(person.last_s) for person in people],
        "Seen for (s)": [round(person.seen_s, 1) for person in people],
    }
    return columns


def _render_contacts(report: VideoReport, *, has_distances: bool) -> None:
    if not has_distances:
        st.caption("Distances were not measured. Choose a method below and re-analyze.")
        return
    st.header("Close contacts")
    if not report.contacts:
        st.markdown("No close contacts.")
        return
    st.dataframe(
        contact_table(report.contacts),
        hide_index=True,
        alt="Table of the pairs in close contact",
    )


def contact_table(contacts: tuple[Contact, ...]) -> dict[str, list[Any]]:
    """Return the columns of the table of contacts."""
    return {
        "People": [
            f"{contact.first_id} and {contact.second_id}" for contact in contacts
        ],
        "First contact": [format_video_time(contact.start_s) for contact in contacts],
        "Contact (s)": [round(contact.total_s, 1) for contact in contacts],
        "Unmasked (s)": [round(contact.unmasked_s, 1) for contact in contacts],
        "Closest": [
            f"{contact.min_distance:.1f} {contact.unit}" for contact in contacts
        ],
        "Over limit": [
            "yes" if contact.exceeds_limit else "no" for contact in contacts
        ],
    }


def _render_video_downloads(job: VideoAnalysisJob, report: VideoReport) -> None:
    """Render the downloads of video, CSV and JSON; large files are read on a click."""
    stem = results.to_file_stem(job.name)
    events_file = f"{stem}-events.csv", "text/csv"
    files: list[Download] = [
        ("Per-frame data (CSV)", job.rows_path.read_bytes, f"{stem}.csv", "text/csv"),
        ("Events (CSV)", partial(service.events_csv, report.events), *events_file),
        (
            "Summary (JSON)",
            partial(reports_to_json, [report]),
            f"{stem}.json",
            "application/json",
        ),
    ]
    if job.annotated_path is not None:
        name = f"{stem}-annotated.mp4"
        files.insert(
            0, ("Annotated video (MP4)", job.read_annotated, name, "video/mp4")
        )
    render_downloads(files)
