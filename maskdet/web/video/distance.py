"""Distances in videos: the settings, and the bird's-eye view of a moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import streamlit as st

from maskdet.media import read_image, rotate_image
from maskdet.serving.video_job import VideoAnalysisJob
from maskdet.settings import Settings
from maskdet.video import VideoReport
from maskdet.web import distance, session
from maskdet.web.distance import (
    distance_error,
    highest_risk_pair_html,
    render_birds_eye,
)
from maskdet.web.theme import is_dark_theme
from maskdet.web.widgets import STATS_CSS, escape_markdown

_DEFAULT_SIZE_WH: Final = (1280, 720)
"""Assumed frame size of the sample."""

# It must not push what follows out of sight.
_BIRDS_EYE_CSS: Final = """<style>
.st-key-birds_eye img {max-height: 15rem; width: auto; max-width: 100%;}
</style>"""


def render_video_distance_settings(
    job: VideoAnalysisJob | None, rotate: int
) -> Settings:
    """Render the distance settings; return settings that are valid for the video.

    Args:
        job: the video; `None` for the sample.
        rotate: degrees clockwise by which every frame is rotated.
    """
    settings = distance.render_distance_settings()
    still = None if job is None else _get_video_still(job, rotate)
    if settings.distance == "ground_plane":
        distance.render_point_editor(still)
        if still is None:
            st.caption("The points can be marked on a frame once there is one to show.")
    first_frame = None if job is None else job.read_first_frame()
    size_wh = _DEFAULT_SIZE_WH
    if first_frame is not None:
        width, height = first_frame.info.width, first_frame.info.height
        size_wh = (height, width) if rotate % 180 else (width, height)
    problem = distance_error(settings, size_wh)
    if not problem:
        return settings
    st.warning(
        escape_markdown(f"{problem} Distances are off until then."),
        icon=":material/square_foot:",
    )
    return replace(settings, distance="off")


def _get_video_still(job: VideoAnalysisJob, rotate: int) -> distance.StillImage | None:
    """Return a frame of the video to mark points on; an anonymized one with `blur`."""
    no_boxes = np.zeros((0, 4), np.float32)
    if not session.get_preferences().style.blur:
        first_frame = job.read_first_frame()
        if first_frame is None:
            return None
        return distance.StillImage(rotate_image(first_frame.image, rotate), no_boxes)
    if job.preview and job.options.preferences.style.blur:
        return distance.StillImage(read_image(job.preview), no_boxes)
    return None


def render_moment_distances(
    job: VideoAnalysisJob, report: VideoReport, at_s: float
) -> None:
    """Render the bird's-eye view of a moment, if distances were measured."""
    preferences, info = job.options.preferences, report.info
    settings, style = preferences.settings, preferences.style
    if settings.distance == "off" or info is None or job.scenes is None:
        return
    scene = job.scenes.find(at_s)
    if scene is None:
        return
    size_wh = (info.width, info.height)
    birds_eye_image = render_birds_eye(
        scene, scene.positions, settings, style, size_wh, dark=is_dark_theme()
    )
    pair_html = f"{STATS_CSS}{highest_risk_pair_html(scene, style)}"
    if birds_eye_image is None:
        st.html(pair_html)
        return
    st.html(_BIRDS_EYE_CSS)
    with st.container(key="birds_eye"):
        image_column, pair_column = st.columns(
            [1, 2], gap="medium", vertical_alignment="center"
        )
        image_column.image(
            birds_eye_image,
            "Bird's-eye view",
            channels="BGR",
            alt="Bird's-eye view of where people stand",
        )
        pair_column.html(pair_html)
