"""The Video page: upload a video, analyze it and view the result."""

from __future__ import annotations

import streamlit as st

from maskdet.serving.video_job import VideoAnalysisJob
from maskdet.web import session
from maskdet.web.video import result
from maskdet.web.video.upload import (
    get_video_job,
    has_changed_settings,
    render_uploaded_video,
    render_video_error,
    render_video_options,
    render_video_progress,
    render_video_upload,
)


def render_video_page() -> None:
    """Render the page."""
    st.title("Video")
    st.markdown("See who wears a mask in a video, when, and for how long.")
    job = get_video_job()
    first_frame = None
    if job is not None and job.state == "ready":
        with st.spinner("Opening the video ..."):
            first_frame = job.read_first_frame()
    if job is None:
        render_video_upload()
    elif first_frame is not None:
        render_uploaded_video(job, first_frame)
    elif job.busy:
        render_video_progress(job)
    elif job.report is None:
        render_video_error(job)
        render_video_upload()
    else:
        result.render_video_result(job, job.report)
        _render_repeat(job)


def _render_repeat(job: VideoAnalysisJob) -> None:
    """Render the options to analyze the video again."""
    st.header("Re-analyze", divider="gray")
    if has_changed_settings(job, session.get_preferences()):
        st.info(
            "Settings have changed since this video was analyzed.",
            icon=":material/tune:",
        )
    options = render_video_options(job)
    st.button(
        "Re-analyze", icon=":material/replay:", on_click=job.start, args=(options,)
    )
