"""Distances in films: how they are measured, and a chosen moment from above."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import streamlit as st

from maskdet.films import VideoReport, scene_at
from maskdet.media import read_image
from maskdet.types import Settings
from maskdet.web import distance, distance_floor, session
from maskdet.web import video_moment as moment
from maskdet.web.distance_plan import plan_of
from maskdet.web.distance_readings import pressing_html
from maskdet.web.live_distance import obstacle
from maskdet.web.markdown import plain
from maskdet.web.video_job import FilmJob

_USUAL_WH: Final = (1280, 720)
"""Size of the pictures of a film that nobody has opened yet."""


def ask(job: FilmJob | None) -> Settings:
    """Ask how distances are measured; return settings that a film can be measured by.

    Args:
        job: the film that was looked at and may be looked at again.
    """
    settings = distance.choose()
    if settings.distance == "ground_plane":
        still = None if job is None else _still(job)
        distance_floor.mark(still)
        if still is None:
            st.caption(
                "Look at the film once: then the points can be marked on its picture."
            )
    info = None if job is None or job.report is None else job.report.info
    size_wh = _USUAL_WH if info is None else (info.width, info.height)
    line = obstacle(settings, size_wh)
    if not line:
        return settings
    st.warning(
        plain(f"{line} Until then no distances are measured."),
        icon=":material/square_foot:",
    )
    return replace(settings, distance="off")


def _still(job: FilmJob) -> distance_floor.Still | None:
    """Return the picture of the film that the page shows, to mark points on."""
    hides = session.preferences().style.blur and not job.plan.preferences.style.blur
    if job.annotated is None or hides:
        return None
    jpeg = moment.kept_jpeg(job, job.annotated, moment.at_s(job))
    # Where faces are to be hidden, they are hidden in the film already.
    nobody = np.zeros((0, 4), np.float32)
    return distance_floor.Still(read_image(jpeg), nobody) if jpeg else None


def show(job: FilmJob, report: VideoReport, at_s: float) -> None:
    """Show who stands where, if the film was looked at with distances."""
    preferences, info = job.plan.preferences, report.info
    settings, style = preferences.settings, preferences.style
    if settings.distance == "off" or info is None:
        return
    now = scene_at(job.rows, at_s, settings.min_confidence)
    if now is None:
        return
    size_wh = (info.width, info.height)
    plan = plan_of(now, now.positions, settings, style, size_wh)
    words = pressing_html(now, style)
    if plan is None:
        st.html(words)
        return
    picture, pair = st.columns(2, gap="medium", vertical_alignment="center")
    title = "That moment from above; one square is a metre"
    picture.image(plan, title, channels="BGR", alt="Plan of where people stand")
    pair.html(words)
