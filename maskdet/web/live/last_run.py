"""The summary of a run of the camera, shown from Stop to the next Start."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from maskdet.drawing import draw
from maskdet.media import encode_jpeg
from maskdet.style import Style, format_percent
from maskdet.types import Label
from maskdet.video import VideoReport, reports_to_json
from maskdet.web import session
from maskdet.web.live.state import LiveSnapshot, get_live_state
from maskdet.web.video.job import format_video_time
from maskdet.web.widgets import (
    MetricTile,
    label_tile,
    metrics_html,
    render_downloads,
)
from maskdet.wording import pluralize


def render_last_run() -> None:
    """Render the summary of the last run; call it while the camera is off."""
    # The thread of the frames ends a run a moment after the browser has stopped it.
    is_ending = get_live_state().is_running()
    st.fragment(_render, run_every=0.5 if is_ending else None)(is_ending=is_ending)


def _render(*, is_ending: bool) -> None:
    state = get_live_state()
    if is_ending and not state.is_running():
        st.rerun()  # and no longer every half second
    last_run = state.get_last_run()
    if last_run is None:
        return
    report, style = last_run.report, session.get_preferences().style
    st.header("Last run", divider="gray")
    st.html(metrics_html(list_tiles(report, style)))
    render_downloads(
        [
            ("People (CSV)", partial(people_csv, report), "people.csv", "text/csv"),
            (
                "Report (JSON)",
                partial(reports_to_json, [report]),
                "live.json",
                "application/json",
            ),
            (
                "Last frame (JPEG)",
                partial(_render_frame, last_run.snapshot, style),
                "live.jpg",
                "image/jpeg",
            ),
        ]
    )
    st.caption("Kept in memory until the next Start; nothing is saved on the server.")


def list_tiles(report: VideoReport, style: Style) -> list[MetricTile]:
    """Return duration, people by class, mask rate and contacts as tiles."""
    counts, n_contacts = report.label_counts, len(report.contacts)
    mask_rate = "-" if report.mask_rate is None else format_percent(report.mask_rate)
    tiles = [
        MetricTile("Duration", format_video_time(round(report.analyzed_s))),
        MetricTile(pluralize(report.n_people, "Person", "People"), report.n_people),
        *(label_tile(label, counts[label], style) for label in Label),
        MetricTile("Mask rate (unsure excluded)", mask_rate),
    ]
    if n_contacts:
        note = f"{report.n_over_limit} over the limit"
        tiles.append(MetricTile("Close contacts", n_contacts, note=note))
    return tiles


def people_csv(report: VideoReport) -> str:
    """Return the people of a report as CSV, in the fields of its JSON."""
    text: str = pd.json_normalize(report.to_dict()["people"]).to_csv(index=False)
    return text


def _render_frame(snapshot: LiveSnapshot, style: Style) -> bytes:
    return encode_jpeg(draw(snapshot.image, snapshot.scene, style))
