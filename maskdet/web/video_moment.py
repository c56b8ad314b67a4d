"""Which moment of a film the Video page shows, and its picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import streamlit as st

from maskdet.films import VideoReport
from maskdet.media import VideoReadError, encode_jpeg, open_video_file
from maskdet.web.video_job import FilmJob
from maskdet.web.video_plan import clock

_STILL: Final = "maskdet.film_still"
_FEW_S: Final = 120.0
"""In a shorter film the slider moves by tenths of a second."""


def key(job: FilmJob) -> str:
    """Return what the slider is called."""
    return f"video.at.{job.number}"


def at_s(job: FilmJob) -> float:
    """Return the moment that is shown, in seconds."""
    return float(st.session_state.get(key(job), 0.0))


def steps(report: VideoReport) -> tuple[float, float]:
    """Return by what the slider moves and where it ends, in seconds."""
    step = 0.1 if report.analyzed_s <= _FEW_S else 1.0
    return step, max(step, step * int(report.analyzed_s / step))


def go_to(job: FilmJob, report: VideoReport, time_s: float) -> None:
    """Show another moment from the next run on; call it in a callback."""
    step, last_s = steps(report)
    # The slider's next place: what began at a moment is there a little later.
    n_steps = math.ceil(time_s / step - 1e-6)
    st.session_state[key(job)] = min(last_s, round(step * n_steps, 1))


def moves(job: FilmJob) -> int:
    """Return how often the slider was moved."""
    return int(st.session_state.get(f"video.moves.{job.number}", 0))


def moved(job: FilmJob) -> None:
    """Note that the slider was moved."""
    st.session_state[f"video.moves.{job.number}"] = moves(job) + 1


def show(job: FilmJob, report: VideoReport, film: Path, time_s: float) -> None:
    """Show one picture of the annotated film, and who was there then."""
    jpeg = kept_jpeg(job, film, time_s)
    here = [one for one in report.timeline if one.start_s <= time_s]
    words, style = "", job.plan.preferences.style
    if here:
        rounded = {
            label: round(number)
            for label, number in here[-1].counts.items()
            if round(number)
        }
        said = ", ".join(f"{n} {style.title(label)}" for label, n in rounded.items())
        words = f": {said or 'nobody'}"
    if jpeg:
        text = f"At {clock(time_s)}{words}"
        words = f"The film {text[0].lower()}{text[1:]}"
        st.image(jpeg, text, alt=words, width="stretch")


def kept_jpeg(job: FilmJob, film: Path, time_s: float) -> bytes:
    """Return one picture of a film as JPEG; the last one asked for costs nothing."""
    kept: tuple[tuple[int, float], bytes] | None = st.session_state.get(_STILL)
    wanted = (job.number, time_s)
    if kept is None or kept[0] != wanted:
        kept = wanted, still_jpeg(film, time_s)
        st.session_state[_STILL] = kept
    return kept[1]


def still_jpeg(film: Path, at_s: float) -> bytes:
    """Return the picture that is shown at a time, as JPEG; the last one after the end.

    Returns:
        The picture, or nothing if the film is not there any more.
    """
    for earlier_s in (0.0, 0.5, 2.0):
        try:
            with open_video_file(film, from_s=max(0.0, at_s - earlier_s)) as opened:
                for image, _ in opened:
                    return encode_jpeg(image)
        except (VideoReadError, FileNotFoundError):
            continue
    return b""
