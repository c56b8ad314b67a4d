"""A film's chosen moment from above, and the pair that matters most in it."""

from __future__ import annotations

import streamlit as st

from maskdet.films import FilmReport, snapshot_at
from maskdet.web.distance_plan import plan_of
from maskdet.web.distance_readings import pressing_html
from maskdet.web.video_job import FilmJob


def show(job: FilmJob, report: FilmReport, at_s: float) -> None:
    """Show who stands where, if the film was looked at with distances."""
    preferences, info = job.plan.preferences, report.info
    settings, style = preferences.settings, preferences.style
    if settings.distance == "off" or info is None:
        return
    now = snapshot_at(job.rows, at_s, settings.min_certainty)
    if now is None:
        return
    size_wh = (info.width, info.height)
    plan = plan_of(now.scene, now.positions, settings, style, size_wh)
    words = pressing_html(now.scene, style)
    if plan is None:
        st.html(words)
        return
    picture, pair = st.columns(2, gap="medium", vertical_alignment="center")
    title = "That moment from above; one square is a metre"
    picture.image(plan, title, channels="BGR", alt="Plan of where people stand")
    pair.html(words)
