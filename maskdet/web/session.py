"""What one visitor's session keeps: the choices made and the analyzers loaded."""

from __future__ import annotations

import dataclasses
import threading
from typing import cast

import streamlit as st

from maskdet.analyzer import ANALYZERS, DEFAULT_ANALYZER, Analyzer, load_analyzer
from maskdet.assets import ASSETS, asset_path
from maskdet.types import Image, Scene, Settings
from maskdet.web.preferences import Preferences

# Dots keep these apart from the keys that widgets and components use.
_CURRENT = "maskdet.preferences"
_WANTED = "maskdet.wanted"
_COMPLAINT = "maskdet.complaint"
_ENDED = "maskdet.ended"


def preferences() -> Preferences:
    """Return the choices in force; a new session starts with those in its link."""
    if _CURRENT not in st.session_state:
        _start()
    return cast(Preferences, st.session_state[_CURRENT])


def set_preferences(wanted: Preferences) -> None:
    """Put choices in force; the sidebar's widgets show them from the next run on.

    Outside a widget's callback, call `st.rerun()` afterwards.
    """
    st.session_state[_CURRENT] = wanted
    st.session_state[_WANTED] = wanted
    complain("")


def take_wanted() -> Preferences | None:
    """Return the choices that the widgets do not show yet, once; else `None`.

    An analyzer that cannot be used here, as after opening the link of somebody who
    has its file, is replaced by the first one that can.
    """
    preferences()
    wanted: Preferences | None = st.session_state.pop(_WANTED, None)
    if wanted is None:
        return None
    missing = unavailable()
    if wanted.analyzer in missing:
        complain(f"{wanted.analyzer} cannot be used here: {missing[wanted.analyzer]}.")
        names = (DEFAULT_ANALYZER, *ANALYZERS)
        usable = next(name for name in names if name not in missing)
        wanted = dataclasses.replace(wanted, analyzer=usable)
        st.session_state[_CURRENT] = wanted
    return wanted


def end() -> None:
    """Note that a run came to its end; the last line of `app.py`."""
    st.session_state[_ENDED] = st.context.url


def ended_here() -> bool:
    """Return whether the run before this one came to its end, and on this page."""
    return bool(st.session_state.pop(_ENDED, "") == st.context.url)


def remember(chosen: Preferences) -> None:
    """Keep what the sidebar's widgets say; a change settles an old complaint."""
    if chosen != st.session_state.get(_CURRENT):
        complain("")
    st.session_state[_CURRENT] = chosen


def complain(line: str) -> None:
    """Keep one line on what was wrong with a link or a file; empty takes it back."""
    st.session_state[_COMPLAINT] = line


def complaint() -> str:
    """Return the line that `complain` kept, or an empty text."""
    return cast(str, st.session_state.get(_COMPLAINT, ""))


def analyzer(name: str) -> Analyzer:
    """Return this session's analyzer, loaded and run once; safe to use from threads.

    Call it in the script, before a stream starts: a frame callback has no session
    and must not wait for a model. A model that is missing or broken is told in one
    line on the page, and the page stops there.
    """
    try:
        return _loaded(name)
    except (FileNotFoundError, RuntimeError) as error:
        st.error(str(error), icon=":material/error:")
        st.stop()


def unavailable() -> dict[str, str]:
    """Return one line on how to get it for each analyzer whose file is missing."""
    lines: dict[str, str] = {}
    for name in ANALYZERS:
        asset = ASSETS.get(name)
        for file in (asset.name, *asset.also) if asset else ():
            try:
                asset_path(file)
            except (FileNotFoundError, RuntimeError) as error:
                lines.setdefault(name, str(error))
    return lines


class _InTurn:
    """An analyzer that takes one caller at a time.

    Its networks keep their input inside, and one session may call it from the
    thread of the live picture and from a page at once.
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._lock = threading.Lock()

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Wait for the other callers, then analyze; see `Analyzer.analyze`."""
        with self._lock:
            return self._analyzer.analyze(image, settings)


# One set of models a session: a model shared by all would make visitors wait for
# each other, frame by frame. It goes when the session disconnects.
@st.cache_resource(scope="session", show_spinner="Loading the models …")
def _loaded(name: str) -> Analyzer:
    return _InTurn(load_analyzer(name))


def _start() -> None:
    try:
        wanted, line = Preferences.from_query(st.query_params.to_dict()), ""
    except ValueError as error:
        wanted = Preferences()
        line = f"The settings in this link were not used: {error}."
    set_preferences(wanted)
    complain(line)
