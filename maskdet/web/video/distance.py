"""Distances in videos: the settings, and the bird's-eye view of a moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import streamlit as st

from maskdet.media import read_image
from maskdet.settings import Settings
from maskdet.video import VideoReport
from maskdet.web import distance, session
from maskdet.web.distance import (
    distance_error,
    highest_risk_pair_html,
    render_birds_eye,
)
from maskdet.web.video import moment
from maskdet.web.video.job import VideoAnalysisJob
from maskdet.web.widgets import escape_markdown

_DEFAULT_SIZE_WH: Final = (1280, 720)
"""Assumed frame size of a video that has not been opened yet."""


def render_video_distance_settings(job: VideoAnalysisJob | None) -> Settings:
    """Render the distance settings; return settings that are valid for the video.

    Args:
        job: the analyzed video, which may be analyzed again.
    """
    settings = distance.render_distance_settings()
    if settings.distance == "ground_plane":
        still = None if job is None else _get_video_still(job)
        distance.render_point_editor(still)
        if still is None:
            st.caption(
                "Analyze the video once; then the points can be marked on its frame."
            )
    info = None if job is None or job.report is None else job.report.info
    size_wh = _DEFAULT_SIZE_WH if info is None else (info.width, info.height)
    problem = distance_error(settings, size_wh)
    if not problem:
        return settings
    st.warning(
        escape_markdown(f"{problem} Distances are off until then."),
        icon=":material/square_foot:",
    )
    return replace(settings, distance="off")


def _get_video_still(job: VideoAnalysisJob) -> distance.StillImage | None:
    """Return the displayed frame of the video, to mark points on."""
    must_blur = (
        session.get_preferences().style.blur and not job.options.preferences.style.blur
    )
    if job.annotated_path is None or must_blur:
        return None
    jpeg = moment.get_frame_jpeg(job, job.annotated_path, moment.get_moment_s(job))
    # If faces must be blurred, they already are in the annotated video.
    no_boxes = np.zeros((0, 4), np.float32)
    return distance.StillImage(read_image(jpeg), no_boxes) if jpeg else None


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
    birds_eye_image = render_birds_eye(scene, scene.positions, settings, style, size_wh)
    pair_html = highest_risk_pair_html(scene, style)
    if birds_eye_image is None:
        st.html(pair_html)
        return
    image_column, pair_column = st.columns(2, gap="medium", vertical_alignment="center")
    image_column.image(
        birds_eye_image,
        "Bird's-eye view",
        channels="BGR",
        alt="Bird's-eye view of where people stand",
    )
    pair_column.html(pair_html)
