"""The selected moment of an analyzed video: its slider and its frame."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import streamlit as st

from maskdet.media import VideoReadError, encode_jpeg, open_video_file
from maskdet.video import VideoReport
from maskdet.web.video.job import VideoAnalysisJob, format_video_time

_FRAME_KEY: Final = "maskdet.video_still"

_FINE_STEP_MAX_S: Final = 120.0
"""In shorter videos the slider has steps of 0.1 s."""


def get_slider_key(job: VideoAnalysisJob) -> str:
    """Return the key of the slider."""
    return f"video.moment.{job.number}"


def get_moment_s(job: VideoAnalysisJob) -> float:
    """Return the selected moment in seconds."""
    return float(st.session_state.get(get_slider_key(job), 0.0))


def get_slider_steps(report: VideoReport) -> tuple[float, float]:
    """Return step and maximum of the slider in seconds."""
    step = 0.1 if report.analyzed_s <= _FINE_STEP_MAX_S else 1.0
    return step, max(step, step * int(report.analyzed_s / step))


def seek_moment(job: VideoAnalysisJob, report: VideoReport, time_s: float) -> None:
    """Select another moment; call it in a callback."""
    step, last_s = get_slider_steps(report)
    # Round up, so that an event that starts at this moment is visible.
    n_steps = math.ceil(time_s / step - 1e-6)
    st.session_state[get_slider_key(job)] = min(last_s, round(step * n_steps, 1))


def count_slider_moves(job: VideoAnalysisJob) -> int:
    """Return the number of slider moves."""
    return int(st.session_state.get(f"video.moves.{job.number}", 0))


def record_slider_move(job: VideoAnalysisJob) -> None:
    """Count a slider move."""
    st.session_state[f"video.moves.{job.number}"] = count_slider_moves(job) + 1


def render_moment(
    job: VideoAnalysisJob, report: VideoReport, video_path: Path, time_s: float
) -> None:
    """Render a frame of the annotated video, and the people by label."""
    jpeg = get_frame_jpeg(job, video_path, time_s)
    bins = [time_bin for time_bin in report.timeline if time_bin.start_s <= time_s]
    style = job.options.preferences.style
    moment = format_video_time(time_s)
    if bins:
        people = [
            f"{round(number)} {style.title(label)}"
            for label, number in bins[-1].counts.items()
            if round(number)
        ]
        moment += f": {', '.join(people) or 'nobody'}"
    if jpeg:
        st.image(jpeg, f"At {moment}", alt=f"The video at {moment}", width="stretch")


def get_frame_jpeg(job: VideoAnalysisJob, video_path: Path, time_s: float) -> bytes:
    """Return a frame of a video as JPEG; the last one is cached."""
    cached: tuple[tuple[int, float], bytes] | None = st.session_state.get(_FRAME_KEY)
    cache_key = (job.number, time_s)
    if cached is None or cached[0] != cache_key:
        cached = cache_key, read_frame_jpeg(video_path, time_s)
        st.session_state[_FRAME_KEY] = cached
    return cached[1]


def read_frame_jpeg(video_path: Path, at_s: float) -> bytes:
    """Return the frame at a time as JPEG; after the end, the last frame.

    Returns:
        The JPEG, or empty bytes if the video no longer exists.
    """
    for earlier_s in (0.0, 0.5, 2.0):
        try:
            with open_video_file(
                video_path, from_s=max(0.0, at_s - earlier_s)
            ) as reader:
                for image, _ in reader:
                    return encode_jpeg(image)
        except (VideoReadError, FileNotFoundError):
            continue
    return b""
