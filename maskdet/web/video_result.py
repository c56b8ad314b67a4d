"""What is shown of a film that was looked at: the film, its time line, its people."""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from html import escape
from typing import Any, Final

import streamlit as st

from maskdet.charts.film import MOMENT, near_chart, people_chart, share_chart
from maskdet.films import Person, VideoReport, to_json
from maskdet.style import DEFAULT_STYLE, Style, line_style, percent, percent_number
from maskdet.types import Contact, Label
from maskdet.web import results, video_distance, video_events
from maskdet.web import video_moment as moment
from maskdet.web.cards import tile_html, tiles_html
from maskdet.web.downloads import Download, downloads
from maskdet.web.markdown import plain
from maskdet.web.video import forget, whereabouts
from maskdet.web.video_job import FilmJob
from maskdet.web.video_plan import clock
from maskdet.wording import counted

_UNITS: Final = {"m": "m", "heads": "heads"}


def show(job: FilmJob, report: VideoReport) -> None:
    """Show everything; a click on a chart or the slider reruns only this part."""
    _heading(job, report)
    chosen = job.plan.preferences
    measured = chosen.settings.distance != "off"
    st.html(tiles_html(_tiles(report, chosen.style, measured=measured)))
    _scrub(job, report)
    _people(report, crops=job.plan.keep_crops, style=chosen.style)
    _contacts(report, measured=measured)
    video_events.show(job, report)
    _downloads(job, report)
    whereabouts(job)


def _heading(job: FilmJob, report: VideoReport) -> None:
    info = report.info
    n = report.n_frames
    parts = [clock(report.analyzed_s), counted(n, "frame")]
    if info is not None:
        parts.insert(0, f"{info.width} x {info.height}")
        parts.append("with sound" if info.has_sound else "without sound")
    with st.container(
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
    ):
        st.markdown(f"{results.as_code(job.name)}: {', '.join(parts)}", width="content")
        st.button(
            "Another film",
            icon=":material/movie:",
            on_click=forget,
            help="Deletes this film and its result.",
        )
    if report.error:
        st.warning(
            f"The video breaks off at {clock(report.analyzed_s)}: "
            f"{plain(report.error)}. These are the results up to there.",
            icon=":material/warning:",
        )
    elif not report.is_complete:
        st.info(
            f"You stopped at {clock(report.analyzed_s)}: this is what was found until "
            "there.",
            icon=":material/stop_circle:",
        )
    if info is not None and info.rate_is_assumed:
        st.caption(
            f"This file has no times: {float(info.frame_rate):g} frames a second are "
            "assumed."
        )
    if report.pipeline:
        st.caption(plain(f"{report.pipeline}."))
    if report.note:
        st.caption(f"The annotated film lacks something: {plain(report.note)}.")


def _tiles(report: VideoReport, style: Style, *, measured: bool) -> list[str]:
    counts = report.label_counts
    share = report.mask_rate
    tiles = [tile_html("People", report.n_people)]
    tiles += [
        tile_html(
            escape(style.title(label)),
            counts[label],
            edge=f"{line_style(label)} {style.colour_css(label)}",
        )
        for label in Label
    ]
    masked = "-" if share is None else escape(percent(share))
    tiles.append(tile_html("Of the time with a mask", masked))
    if measured:
        tiles.append(tile_html("Pairs too close for too long", report.n_over_limit))
    return tiles


@st.fragment
def _scrub(job: FilmJob, report: VideoReport) -> None:
    """Show the film and one moment of it, and let that be chosen."""
    if job.state != "done":
        st.rerun()
    at_s = moment.at_s(job)
    film, still = st.columns(2, gap="medium")
    if job.annotated is not None:
        film.video(str(job.annotated), start_time=int(at_s), alt="The annotated film")
        with still:
            moment.show(job, report, job.annotated, at_s)
    step, last_s = moment.steps(report)
    st.slider(
        "Moment of the film, in seconds",
        *(0.0, last_s),
        key=moment.key(job),
        step=step,
        format="%.1f" if step < 1 else "%.0f",
        persist_state="session",
        on_change=moment.moved,
        args=(job,),
        help="The film starts there, and the picture beside it shows that moment. "
        "A click on a chart goes there too.",
    )
    video_distance.show(job, report, at_s)
    _charts(job, report, at_s)


def _charts(job: FilmJob, report: VideoReport, at_s: float) -> None:
    style = job.plan.preferences.style
    charts: dict[str, Any] = {
        "people": people_chart(report.timeline, at_s=at_s, style=style),
        "share": share_chart(report.timeline, at_s=at_s, style=style),
    }
    if any(one.n_contacts for one in report.timeline):
        charts["near"] = near_chart(report.timeline, at_s=at_s, style=style)
    for name, chart in charts.items():
        # A chart that was clicked says nothing when the same place is clicked again;
        # after the slider was moved it is a new chart.
        key = f"video.{name}.{job.number}.{moment.moves(job)}"
        clicked = partial(_clicked, key, job, report)
        st.altair_chart(chart, key=key, on_select=clicked, width="stretch")


def _clicked(key: str, job: FilmJob, report: VideoReport) -> None:
    """Go to the moment that was clicked."""
    points = st.session_state[key]["selection"].get(MOMENT, [])
    if points and "start" in points[0]:
        moment.go_to(job, report, float(points[0]["start"]))


def _people(report: VideoReport, *, crops: bool, style: Style) -> None:
    st.subheader("People")
    if not report.people:
        st.info(
            "Nobody was found. Lower **Face score** or **Smallest face** in the "
            "sidebar and look again.",
            icon=":material/person_off:",
        )
        return
    percent = st.column_config.NumberColumn(
        format="%.0f %%",
        help="How sure the verdict was, on average while it held.",
    )
    st.dataframe(
        people_table(report.people, crops=crops, style=style),
        hide_index=True,
        row_height=72 if crops else None,
        column_config={
            "Confidence": percent,
            "Best view": st.column_config.ImageColumn(width="small"),
            "Seen for (s)": st.column_config.NumberColumn(format="%.1f"),
        },
        alt="Table of the people: number, verdict, confidence, when they were seen",
    )


def people_table(
    people: tuple[Person, ...], *, crops: bool, style: Style = DEFAULT_STYLE
) -> dict[str, list[Any]]:
    """Return the columns of the table of people."""
    columns: dict[str, list[Any]] = {"Person": [one.track_id for one in people]}
    if crops:
        columns["Best view"] = [_address(one.crop) for one in people]
    columns |= {
        "Verdict": [style.title(one.label) for one in people],
        "Confidence": [
            None if one.label is Label.UNKNOWN else percent_number(one.confidence)
            for one in people
        ],
        "First seen": [clock(one.first_s) for one in people],
        "Last seen": [clock(one.last_s) for one in people],
        "Seen for (s)": [round(one.seen_s, 1) for one in people],
    }
    return columns


def _address(jpeg: bytes) -> str | None:
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}" if jpeg else None


def _contacts(report: VideoReport, *, measured: bool) -> None:
    if not measured:
        st.caption("Distances were not measured. Choose how, below, and look again.")
        return
    st.subheader("Who was near whom")
    if not report.contacts:
        st.markdown("Nobody was near anybody else.")
        return
    st.dataframe(
        contact_table(report.contacts),
        hide_index=True,
        alt="Table of the pairs who were near each other",
    )


def contact_table(contacts: tuple[Contact, ...]) -> dict[str, list[Any]]:
    """Return the columns of the table of contacts."""
    return {
        "People": [f"{one.first_id} and {one.second_id}" for one in contacts],
        "First near": [clock(one.start_s) for one in contacts],
        "Near for (s)": [round(one.total_s, 1) for one in contacts],
        "Of it without mask (s)": [round(one.unmasked_s, 1) for one in contacts],
        "Closest": [f"{one.min_distance:.1f} {_UNITS[one.unit]}" for one in contacts],
        "Too long": ["yes" if one.exceeds_limit else "no" for one in contacts],
    }


def _downloads(job: FilmJob, report: VideoReport) -> None:
    """Offer film, CSV and JSON; the large ones are read only when asked for."""
    stem = results.file_stem(job.name)
    events_file = f"{stem}-events.csv", "text/csv"
    files: list[Download] = [
        ("Every picture (CSV)", job.rows.read_bytes, f"{stem}.csv", "text/csv"),
        ("Events (CSV)", partial(video_events.csv_text, report), *events_file),
        ("Summary (JSON)", to_json([report]), f"{stem}.json", "application/json"),
    ]
    if job.annotated is not None:
        read = job.annotated.read_bytes
        files.insert(
            0, ("Annotated film (MP4)", read, f"{stem}-marked.mp4", "video/mp4")
        )
    downloads(files)
