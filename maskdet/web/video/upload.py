"""The Video page before there is a result: upload, options, progress and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import streamlit as st

from maskdet.analyzers.pipelines import Analyzer, resolve_analyzer
from maskdet.html_templates import encode_data_url
from maskdet.media import ROTATIONS, VideoInfo, encode_jpeg, rotate_image
from maskdet.serving.preferences import Preferences, format_rotation
from maskdet.serving.video_job import (
    MAX_VIDEO_MINUTES,
    FirstFrame,
    VideoAnalysisJob,
    VideoOptions,
    find_job_by_tab,
    format_video_time,
)
from maskdet.web import session
from maskdet.web.components import to_media_url
from maskdet.web.image import results
from maskdet.web.server.streamlit_patches import is_session_active
from maskdet.web.video import distance
from maskdet.web.widgets import VIDEO_SAMPLE, escape_markdown

_JOB_KEY: Final = "maskdet.video"
_ERROR_KEY: Final = "maskdet.video_refused"
_ROUND_KEY: Final = "maskdet.video_round"
_REFRESH_S: Final = 1.0
_MIN_ESTIMATE_FRACTION: Final = 0.03
"""Below this fraction, most of the elapsed time is model loading."""

_FRAME_STEP_TITLES: Final = {
    1: "Every frame",
    2: "Every 2nd (twice as fast)",
    5: "Every 5th (fast, less reliable tracking)",
}

_PREVIEW_CSS: Final = """<style>
.maskdet-video img {display: block; max-width: 100%; max-height: 60vh; margin: auto;
  border-radius: .5rem;}
</style>"""


def get_video_job() -> VideoAnalysisJob | None:
    """Return this visitor's job, if there is one, also after a reload of the page."""
    current: VideoAnalysisJob | None = st.session_state.get(_JOB_KEY)
    if current is None:
        current = find_job_by_tab(session.get_tab_id(), _make_presence_check())
        if current is not None:
            st.session_state[_JOB_KEY] = current
            _restore_options(current.options)
    if current is not None and current.state == "closed":
        discard_video()
        return None
    return current


def _restore_options(options: VideoOptions) -> None:
    """Set the widgets of a new session to the options of its job."""
    st.session_state["video.every"] = options.every
    st.session_state["video.rotate"] = options.rotate
    st.session_state["video.crops"] = options.keep_crops


def discard_video() -> None:
    """Delete this visitor's video and its results."""
    current: VideoAnalysisJob | None = st.session_state.pop(_JOB_KEY, None)
    if current is not None:
        current.close()


def render_video_options(job: VideoAnalysisJob | None = None) -> VideoOptions:
    """Render the options of an analysis; the sidebar has the others.

    Args:
        job: the video; `None` for the sample.
    """
    every = st.selectbox(
        "Process",
        list(_FRAME_STEP_TITLES),
        format_func=lambda every: _FRAME_STEP_TITLES[every],
        key="video.every",
        width=360,
        persist_state="session",
        help="The annotated video contains only the processed frames.",
    )
    rotate = st.selectbox(
        "Rotate",
        ROTATIONS,
        format_func=format_rotation,
        key="video.rotate",
        width=360,
        persist_state="session",
        help="For a camera that was mounted upside down or on its side. The rotation "
        "in the file's metadata is always applied.",
    )
    settings = distance.render_video_distance_settings(job, rotate)
    preferences = replace(session.get_preferences(), settings=settings)
    blur = preferences.style.blur
    crops = st.checkbox(
        "Show a thumbnail per person",
        key="video.crops",
        persist_state="session",
        disabled=blur,
        help="Not available while faces are blurred."
        if blur
        else "The best view of each person, in the table of people. It is kept in "
        "memory only, and is not part of the downloads.",
    )
    return VideoOptions(
        preferences, every, keep_crops=crops and not blur, rotate=rotate
    )


def render_video_upload() -> None:
    """Render the upload of a video, or the sample."""
    error: str = st.session_state.pop(_ERROR_KEY, "")
    if error:
        st.error(error, icon=":material/broken_image:")
    # A new widget begins empty, as the job has the video.
    key = f"video.file.{st.session_state.setdefault(_ROUND_KEY, 0)}"
    st.file_uploader(
        "Upload a video",
        # Browsers know few video types; the content of the file decides.
        type=None,
        key=key,
        on_change=_keep_upload,
        args=(key,),
        help="MP4, MOV, WebM, AVI, MKV, 3GP, MPEG, TS, WMV, FLV, Ogg, GIF and others.",
    )
    st.caption(
        f"Up to {st.get_option('server.maxUploadSize')} MB and {MAX_VIDEO_MINUTES} "
        "minutes. Video and result are deleted soon after you leave."
    )
    _render_sample()


def _keep_upload(key: str) -> None:
    """Move the file of the widget to a job, which is found again on every page."""
    file = st.session_state[key]
    if file is not None:
        _create_job(file.name, file.getvalue(), VideoOptions(session.get_preferences()))
        st.session_state[_ROUND_KEY] += 1


def _render_sample() -> None:
    st.info(
        "No video? Try this sample: three people, one of them turns away.",
        icon=":material/movie:",
    )
    video_column, options_column = st.columns(2, gap="medium")
    with video_column:
        st.video(str(VIDEO_SAMPLE.path), alt="The sample video")
        st.caption(f"Video: {VIDEO_SAMPLE.credit}.")
    with options_column:
        st.button(
            "Analyze sample",
            type="primary",
            icon=":material/play_circle:",
            on_click=_start_sample,
            args=(render_video_options(),),
        )


def render_uploaded_video(job: VideoAnalysisJob, first_frame: FirstFrame) -> None:
    """Render a video that has not been started: first frame, facts and options."""
    render_video_heading(job, describe_upload(job, first_frame.info))
    image_column, options_column = st.columns(2, gap="medium")
    with options_column:
        job.options = options = render_video_options(job)
        st.button(
            "Analyze video",
            type="primary",
            icon=":material/play_circle:",
            on_click=job.start,
            args=(options,),
        )
    with image_column:
        if options.preferences.style.blur:
            st.info(
                "The first frame is not shown, as faces are blurred.",
                icon=":material/blur_on:",
            )
        else:
            jpeg = encode_jpeg(rotate_image(first_frame.image, options.rotate))
            _render_frame(to_media_url(jpeg), "First frame of the video")
    render_storage_note(job)


def describe_upload(job: VideoAnalysisJob, info: VideoInfo) -> list[str]:
    """Return size, length and resolution of a video."""
    n_kb = job.size_bytes / 1e3
    size = f"{n_kb / 1e3:.1f} MB" if n_kb >= 100 else f"{max(1, round(n_kb))} kB"
    facts = [f"{info.width} x {info.height}", size]
    if info.duration_s:
        about = "about " if info.duration_is_estimate else ""
        facts.insert(1, f"{about}{format_video_time(round(info.duration_s))}")
    return facts


def render_video_heading(job: VideoAnalysisJob, facts: Sequence[str]) -> None:
    """Render name and facts of a video, and the button that removes it."""
    with st.container(
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
    ):
        st.markdown(
            f"{results.to_code_markdown(job.name)}: {', '.join(facts)}", width="content"
        )
        st.button(
            "Choose another video",
            icon=":material/movie:",
            on_click=discard_video,
            help="Deletes this video and its result.",
        )


def _start_sample(options: VideoOptions) -> None:
    new_job = _create_job(VIDEO_SAMPLE.path.name, VIDEO_SAMPLE.path, options)
    if new_job is not None:
        new_job.start()


def _create_job(
    name: str, video: bytes | Path, options: VideoOptions
) -> VideoAnalysisJob | None:
    """Store a video for an analysis; the next run shows errors."""
    discard_video()
    if not video:
        st.session_state[_ERROR_KEY] = "The file is empty."
        return None
    try:
        new_job = VideoAnalysisJob(
            name,
            video,
            options,
            _load_video_analyzer,
            is_present=_make_presence_check(),
        )
    except OSError:
        line = "This server has no room for the video. Use a smaller one."
        st.session_state[_ERROR_KEY] = line
        return None
    st.session_state[_JOB_KEY] = new_job
    new_job.register_tab(session.get_tab_id())
    return new_job


def _load_video_analyzer(options: VideoOptions) -> Analyzer:
    preferences = options.preferences
    return session.load_private_analyzer(
        resolve_analyzer(preferences.analyzer, live=True), preferences
    )


def _make_presence_check() -> Callable[[], bool]:
    """Return a thread-safe check of whether this visitor is still connected."""
    return partial(is_session_active, session.get_session_id())


def render_video_progress(job: VideoAnalysisJob) -> None:
    """Render the progress of a running analysis."""
    st.markdown(f"Analyzing {results.to_code_markdown(job.name)}")
    st.caption("You can leave this page; the analysis continues.")
    _render_progress(job)
    render_storage_note(job)


def render_storage_note(job: VideoAnalysisJob) -> None:
    """Render where the video and its result are stored, and for how long."""
    location = (
        "in memory only"
        if job.in_memory
        else "in a private temporary folder on this server's disk"
    )
    st.caption(
        f"Video and result are kept {location}. They are deleted when you choose "
        "another video or cancel, two minutes after you close this page, and when the "
        "server stops."
    )


@st.fragment(run_every=_REFRESH_S)
def _render_progress(job: VideoAnalysisJob) -> None:
    if not job.busy:
        st.rerun()
    progress = job.progress
    st.progress(progress.fraction_done, _format_progress(job))
    with st.container(horizontal=True):
        st.button(
            "Stop and show results",
            icon=":material/stop_circle:",
            on_click=job.stop,
            disabled=not progress.n_frames,
            help="Shows the results up to this point.",
        )
        st.button(
            "Cancel",
            icon=":material/cancel:",
            on_click=discard_video,
            help="Deletes the video and its results.",
        )
    if job.preview:
        # Inline the frame: Streamlit keeps every other image until the next rerun of
        # the whole page.
        source = encode_data_url(job.preview)
        _render_frame(source, "Current frame of the analysis")


def _render_frame(source: str, alt: str) -> None:
    """Render an image, at most 60 % as high as the window."""
    image_html = f'<img src="{source}" alt="{alt}">'
    st.html(f'{_PREVIEW_CSS}<div class="maskdet-video">{image_html}</div>')


def _format_progress(job: VideoAnalysisJob) -> str:
    progress = job.progress
    if job.state == "waiting":
        return "Waiting for the videos of other visitors ..."
    if not progress.n_frames:
        return "Opening the video ..."
    text = f"{format_video_time(int(progress.time_s))} analyzed"
    remaining_s = progress.remaining_s
    if remaining_s is None or progress.fraction_done < _MIN_ESTIMATE_FRACTION:
        return text
    return f"{text}, {_format_remaining(remaining_s)} left"


def _format_remaining(remaining_s: float) -> str:
    if remaining_s < 1:
        return "less than a second"
    if remaining_s < 90:
        return f"about {remaining_s:.0f} s"
    return f"about {remaining_s / 60:.0f} minutes"


def render_video_error(job: VideoAnalysisJob) -> None:
    """Render one line on why the analysis failed."""
    line = job.problem[:1].upper() + job.problem[1:]
    st.error(
        f"{results.to_code_markdown(job.name)}: {escape_markdown(line)}.",
        icon=":material/broken_image:",
    )


def has_changed_settings(job: VideoAnalysisJob, preferences: Preferences) -> bool:
    """Return whether the sidebar settings have changed since the analysis."""
    return _get_video_settings(job.options.preferences) != _get_video_settings(
        preferences
    )


def _get_video_settings(preferences: Preferences) -> tuple[object, ...]:
    models = preferences.analyzer, preferences.classifier, preferences.refine
    return *models, preferences.settings, preferences.style
