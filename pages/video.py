"""Video: a film, looked at from its first picture to its last."""

from __future__ import annotations

import streamlit as st

from maskdet.web import session, video, video_result
from maskdet.web.entry import through_app
from maskdet.web.video_job import FilmJob


def page() -> None:
    """Show the page."""
    st.title("Video")
    st.markdown("See who wears a mask in a film, when, and for how long.")
    job = video.job()
    if job is None:
        video.choose()
    elif job.busy:
        video.working(job)
    elif job.report is None:
        video.failed(job)
        video.choose()
    else:
        video_result.show(job, job.report)
        _again(job)


def _again(job: FilmJob) -> None:
    """Offer to look at the film again."""
    st.subheader("Look again", divider="gray")
    if video.changed(job, session.preferences()):
        st.info(
            "You have changed settings since this film was looked at.",
            icon=":material/tune:",
        )
    asked = video.plan(job)
    st.button("Look again", icon=":material/replay:", on_click=job.start, args=(asked,))


through_app()
page()
