"""The Video page while there is no result: choosing a film, and waiting for it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from maskdet.analyzer import Analyzer, resolved
from maskdet.media import ROTATIONS
from maskdet.web import results, session, video_distance
from maskdet.web.markdown import plain
from maskdet.web.preferences import Preferences, rotation_text
from maskdet.web.samples import FILM
from maskdet.web.tab import tab
from maskdet.web.video_job import MAX_MINUTES, FilmJob, find_again
from maskdet.web.video_plan import Plan, clock

_JOB: Final = "maskdet.film"
_REFUSED: Final = "maskdet.film_refused"
_TAB: Final = "maskdet.film_tab"
_REFRESH_S: Final = 1.0
_EARLY: Final = 0.03
"""Until so much is done, the loading of networks is most of the time taken."""

_EVERY: Final = {
    1: "Every picture",
    2: "Every 2nd: twice as fast",
    5: "Every 5th: a quick look, loses people more easily",
}

_PREVIEW: Final = """<style>
.maskdet-film img {display: block; max-width: 100%; max-height: 60vh; margin: auto;
  border-radius: .5rem;}
</style>"""


def job() -> FilmJob | None:
    """Return this visitor's film, if there is one, also after a reload of the page.

    Call it once a run.
    """
    found: FilmJob | None = st.session_state.get(_JOB)
    this_tab = st.session_state[_TAB] = tab()
    if found is None:
        found = find_again(this_tab, _presence())
        if found is not None:
            st.session_state[_JOB] = found
    if found is not None and found.state == "closed":
        forget()
        return None
    return found


def forget() -> None:
    """Delete this visitor's film and all that was made of it."""
    found: FilmJob | None = st.session_state.pop(_JOB, None)
    if found is not None:
        found.close()


def plan(job: FilmJob | None = None) -> Plan:
    """Ask how to look at a film; the sidebar says the rest.

    Args:
        job: the film, if it was looked at and may be looked at again.
    """
    settings = video_distance.ask(job)
    chosen = replace(session.preferences(), settings=settings)
    every = st.selectbox(
        "Look at",
        list(_EVERY),
        format_func=lambda every: _EVERY[every],
        key="video.every",
        width=360,
        persist_state="session",
        help="The annotated film has only the pictures that were looked at.",
    )
    rotate = st.selectbox(
        "Rotate",
        ROTATIONS,
        format_func=rotation_text,
        key="video.rotate",
        width=360,
        persist_state="session",
        help="For a camera that hung upside down or on its side. A rotation that the "
        "file itself names is applied anyway.",
    )
    blur = chosen.style.blur
    crops = st.checkbox(
        "Show a picture of each person",
        key="video.crops",
        persist_state="session",
        disabled=blur,
        help="Faces are blurred, so no picture of them is kept."
        if blur
        else "Each person's best view, in the table of people. It is kept in memory "
        "only, and not part of the downloads.",
    )
    return Plan(chosen, every, keep_crops=crops and not blur, rotate=rotate)


def choose() -> None:
    """Ask for a film, or offer the sample."""
    refused: str = st.session_state.pop(_REFUSED, "")
    if refused:
        st.error(refused, icon=":material/broken_image:")
    file = st.file_uploader(
        "A film from this device",
        # Browsers know few types of video; what a file is, its content decides.
        type=None,
        key="video.file",
        help="MP4, MOV, WebM, AVI, MKV, 3GP, MPEG, TS, WMV, FLV, Ogg, GIF and others.",
    )
    st.caption(
        f"Up to {st.get_option('server.maxUploadSize')} MB and {MAX_MINUTES} minutes. "
        "Nothing is kept: film and result are deleted soon after you leave."
    )
    if file is None:
        _sample()
        return
    st.markdown(f"Your film: {results.as_code(file.name)}, {file.size / 1e6:.1f} MB")
    st.button(
        "Look at this film",
        type="primary",
        icon=":material/play_circle:",
        on_click=_begin_upload,
        args=(file, plan()),
    )


def _sample() -> None:
    st.info(
        "No film at hand? Try this sample: three people, one of them turns away.",
        icon=":material/movie:",
    )
    picture, options = st.columns(2, gap="medium")
    with picture:
        st.video(str(FILM.path), alt="The sample film")
        st.caption(f"Film: {FILM.credit}.")
    with options:
        st.button(
            "Look at the sample",
            type="primary",
            icon=":material/play_circle:",
            on_click=begin,
            args=(FILM.path.name, FILM.path, plan()),
        )


def _begin_upload(file: UploadedFile, asked: Plan) -> None:
    begin(file.name, file.getvalue(), asked)


def begin(name: str, film: bytes | Path, asked: Plan) -> None:
    """Start to look at a film; returns at once. The next run says what was wrong."""
    forget()
    if not film:
        st.session_state[_REFUSED] = "The file is empty."
        return
    try:
        made = FilmJob(name, film, asked, _load, present=_presence())
    except OSError:
        line = "This server has no room for the film. Please use a smaller one."
        st.session_state[_REFUSED] = line
        return
    st.session_state[_JOB] = made
    made.keep_for(st.session_state.get(_TAB, ""))
    made.start()


def _load(asked: Plan) -> Analyzer:
    chosen = asked.preferences
    return session.own_analyzer(resolved(chosen.analyzer, live=True), chosen)


def _presence() -> Callable[[], bool]:
    """Return what tells, in any thread, whether this visitor is still there."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return lambda: True
    return partial(runtime.get_instance().is_active_session, context.session_id)


def working(found: FilmJob) -> None:
    """Show how far a film is, until there is a result."""
    st.markdown(f"Looking at {results.as_code(found.name)}")
    st.caption("You may visit other pages meanwhile; the film goes on.")
    _progress(found)
    whereabouts(found)


def whereabouts(found: FilmJob) -> None:
    """Say where the film and its result lie, and for how long."""
    where = (
        "in this server's memory, not on a disk"
        if found.in_memory
        else "in a private temporary folder on this server's disk"
    )
    st.caption(
        f"For now your film and what is made of it lie {where}. Both are deleted when "
        "you take another film or cancel, two minutes after you close this page, and "
        "when the server ends."
    )


@st.fragment(run_every=_REFRESH_S)
def _progress(found: FilmJob) -> None:
    if not found.busy:
        st.rerun()
    shown = found.shown
    st.progress(shown.done, _how_far(found))
    with st.container(horizontal=True):
        st.button(
            "Stop here",
            icon=":material/stop_circle:",
            on_click=found.stop,
            disabled=not shown.n_pictures,
            help="Shows what was found until now.",
        )
        st.button(
            "Cancel",
            icon=":material/cancel:",
            on_click=forget,
            help="Deletes the film and what was found.",
        )
    if shown.preview:
        # As part of the page: Streamlit keeps a picture of `st.image` until the next
        # rerun of the whole page, and there are many of these.
        source = f"data:image/jpeg;base64,{b64encode(shown.preview).decode()}"
        picture = f'<img src="{source}" alt="The film where it is looked at now">'
        st.html(f'{_PREVIEW}<div class="maskdet-film">{picture}</div>')


def _how_far(found: FilmJob) -> str:
    shown = found.shown
    if found.state == "waiting":
        return "Other visitors' films come first; this one waits for its turn ..."
    if not shown.n_pictures:
        return "Opening the film ..."
    known = shown.left_s is not None and shown.done >= _EARLY
    left = f", {_about(shown.left_s or 0.0)} left" if known else ""
    return f"{clock(int(shown.time_s))} looked at{left}"


def _about(left_s: float) -> str:
    if left_s < 1:
        return "less than a second"
    if left_s < 90:
        return f"about {left_s:.0f} s"
    return f"about {left_s / 60:.0f} minutes"


def failed(found: FilmJob) -> None:
    """Say in one line why there is no result, and let another film be chosen."""
    line = found.problem[:1].upper() + found.problem[1:]
    st.error(
        f"{results.as_code(found.name)}: {plain(line)}.",
        icon=":material/broken_image:",
    )


def changed(found: FilmJob, chosen: Preferences) -> bool:
    """Return whether the sidebar says something else of films than it did."""
    return _of_films(found.plan.preferences) != _of_films(chosen)


def _of_films(chosen: Preferences) -> tuple[object, ...]:
    networks = chosen.analyzer, chosen.classifier, chosen.second_look
    return *networks, chosen.settings, chosen.style
