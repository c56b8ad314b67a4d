"""The summary of a run of the camera, shown from Stop to the next Start."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from maskdet.drawing import draw
from maskdet.media import encode_jpeg
from maskdet.serving.video_job import format_video_time
from maskdet.style import Style
from maskdet.video import VideoReport, reports_to_json
from maskdet.web import session
from maskdet.web.events import service
from maskdet.web.live.state import LastRun, LiveSnapshot, get_live_state
from maskdet.web.widgets import (
    Download,
    MetricTile,
    list_report_tiles,
    metrics_html,
    render_downloads,
)
from maskdet.wording import pluralize


def render_last_run() -> None:
    """Render the summary of the last run; call it while the camera is off."""
    last_run = get_live_state().get_last_run()
    if last_run is None:
        return
    report, style = last_run.report, session.get_preferences().style
    st.header("Last run", divider="gray")
    st.html(metrics_html(list_tiles(last_run, style)))
    people_file, events_file = ("people.csv", "text/csv"), ("events.csv", "text/csv")
    files: list[Download] = [
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
    if report.people:
        files.insert(0, ("People (CSV)", partial(people_csv, report), *people_file))
    if report.events:
        read_events = partial(service.events_csv, report.events)
        files.insert(-2, ("Events and alerts (CSV)", read_events, *events_file))
    render_downloads(files)
    st.caption("Kept in memory until the next Start; nothing is saved on the server.")


def list_tiles(last_run: LastRun, style: Style) -> list[MetricTile]:
    """Return duration, people by class, mask rate, contacts and alerts as tiles."""
    report = last_run.report
    measures = last_run.snapshot.settings.distance != "off"
    n_alerts = last_run.n_alerts
    return [
        MetricTile("Duration", format_video_time(round(report.analyzed_s))),
        *list_report_tiles(
            report, style, has_distances=measures or report.n_contacts > 0
        ),
        *[MetricTile(pluralize(n_alerts, "Alert"), n_alerts)] * (n_alerts > 0),
    ]


def people_csv(report: VideoReport) -> str:
    """Return the people of a report as CSV, in the fields of its JSON."""
    text: str = pd.json_normalize(report.to_dict()["people"]).to_csv(index=False)
    return text


def _render_frame(snapshot: LiveSnapshot, style: Style) -> bytes:
    return encode_jpeg(draw(snapshot.image, snapshot.scene, style))
