"""Video: a film, looked at from its first picture to its last."""

from __future__ import annotations

import streamlit as st

from maskdet.web import session, video, video_result
from maskdet.web.entry import require_app_entry
from maskdet.web.video_job import VideoAnalysisJob


def render_video_page() -> None:
    """Show the page."""
    st.title("Video")
    st.markdown("See who wears a mask in a film, when, and for how long.")
    job = video.get_video_job()
    if job is None:
        video.render_video_upload()
    elif job.busy:
        video.render_video_progress(job)
    elif job.report is None:
        video.render_video_error(job)
        video.render_video_upload()
    else:
        video_result.render_video_result(job, job.report)
        _render_repeat(job)


def _render_repeat(job: VideoAnalysisJob) -> None:
    """Offer to look at the film again."""
    st.subheader("Look again", divider="gray")
    if video.has_changed_settings(job, session.get_preferences()):
        st.info(
            "You have changed settings since this film was looked at.",
            icon=":material/tune:",
        )
    options = video.render_video_options(job)
    st.button(
        "Look again", icon=":material/replay:", on_click=job.start, args=(options,)
    )


require_app_entry()
render_video_page()
