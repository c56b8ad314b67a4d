"""What one visitor's session keeps: the choices made and the analyzers lent to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import cast

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from maskdet.analyzer import (
    ANALYZERS,
    AUTO,
    DEFAULT_ANALYZER,
    Analyzer,
    asset_of,
    load_analyzer,
    reads_twice,
    resolved,
)
from maskdet.assets import ASSETS, asset_path, folders
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.detectors import missing_library
from maskdet.types import Image, Scene, Settings
from maskdet.web.analyzer_pool import Choice, Loaded, Pool
from maskdet.web.preferences import Preferences

# Dots keep these apart from the keys that widgets and components use.
_CURRENT = "maskdet.preferences"
_WANTED = "maskdet.wanted"
_COMPLAINT = "maskdet.complaint"
_ENDED = "maskdet.ended"
_WHOLE = "maskdet.whole"
_LENT = "maskdet.analyzers"
_ALBUM = "maskdet.album"


def preferences() -> Preferences:
    """Return the choices in force; a new session starts with those in its link."""
    if _CURRENT not in st.session_state:
        _start()
    return cast(Preferences, st.session_state[_CURRENT])


def set_preferences(wanted: Preferences) -> None:
    """Put choices in force; the sidebar's widgets show them from the next run on.

    Outside a widget's callback, call `st.rerun()` afterwards.
    """
    _put(wanted)
    st.session_state[_WANTED] = wanted
    complain("")


def take_wanted() -> Preferences | None:
    """Return the choices that the widgets do not show yet, once; else `None`.

    An analyzer or mask model that cannot be used here, as after opening the link of
    somebody who has its file, is replaced by the first one that can.
    """
    preferences()
    wanted: Preferences | None = st.session_state.pop(_WANTED, None)
    if wanted is None:
        return None
    analyzers = (AUTO, DEFAULT_ANALYZER, *ANALYZERS)
    analyzer = _usable(wanted.analyzer, analyzers, unavailable())
    classifiers = (DEFAULT_CLASSIFIER, *CLASSIFIERS)
    classifier = _usable(wanted.classifier, classifiers, unavailable_classifiers())
    wanted = dataclasses.replace(wanted, analyzer=analyzer, classifier=classifier)
    _put(wanted)
    return wanted


def begin() -> None:
    """Note that a run begins; before anything that `app.py` shows.

    The page stops with one line if `MASKDET_MODEL_DIR` is set and is not a folder:
    then no model can be loaded.
    """
    st.session_state[_WHOLE] = st.session_state.pop(_ENDED, "") == st.context.url
    try:
        folders()
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        st.stop()


def end() -> None:
    """Note that a run came to its end; the last line of `app.py`."""
    st.session_state[_ENDED] = st.context.url


def ended_here() -> bool:
    """Return whether the run before this one came to its end, and on this page.

    The browser is told the value of a widget only in the run that sets it. Who changes
    the page while the first one still loads stops that run, and the browser would
    show, and send back, the lowest value of each slider and nothing for each choice.
    So where this is false, values are set again.
    """
    return cast(bool, st.session_state.get(_WHOLE, False))


def remember(chosen: Preferences) -> None:
    """Keep what the sidebar's widgets say; a change settles an old complaint."""
    if chosen != st.session_state.get(_CURRENT):
        complain("")
    _put(chosen)


def complain(line: str) -> None:
    """Keep one line on what was wrong with a link or a file; empty takes it back."""
    st.session_state[_COMPLAINT] = line


def complaint() -> str:
    """Return the line that `complain` kept, or an empty text."""
    return cast(str, st.session_state.get(_COMPLAINT, ""))


def analyzer(name: str) -> Analyzer:
    """Return this session's analyzer, loaded and run once; safe to use from threads.

    It labels with the mask model in force, once or twice as is wanted, also after
    that was changed: a stream that has it obeys from the next frame on, and does not
    stop for it.

    Call it in the script, before a stream starts: a frame callback has no session
    and must not wait for a model. A model that is missing or broken is told in one
    line on the page, and the page stops there.

    Args:
        name: a name in `ANALYZERS`; what `AUTO` stands for is said by `resolved`.
    """
    chosen = preferences()
    # Who never reads twice need not be loaded anew for it.
    second_look = chosen.second_look or not reads_twice(name, chosen.classifier)
    lent: dict[str, _Lent] = st.session_state.setdefault(_LENT, {})
    try:
        choice = Choice(name, chosen.classifier, second_look)
        loaded = _pool().lend(choice, own_id())
    except (FileNotFoundError, RuntimeError) as error:
        st.error(str(error), icon=":material/error:")
        st.stop()
    known = lent.setdefault(name, _Lent(loaded))
    if known.loaded is not loaded:
        _pool().give_back(known.loaded, own_id())
        known.loaded = loaded
    return known


def own_analyzer(name: str, chosen: Preferences) -> Analyzer:
    """Return an analyzer that is nobody else's, for work beside the pages.

    It neither waits for the live picture nor changes when the visitor chooses
    something else. Safe to call from any thread.

    Args:
        name: a name in `ANALYZERS`.
        chosen: says which mask model labels, and whether twice.

    Raises:
        FileNotFoundError: a model is missing; the message says how to get it.
        RuntimeError: a model is broken.
    """
    return load_analyzer(name, chosen.classifier, second_look=chosen.second_look)


def tidy() -> None:
    """Forget analyzers of visitors who have left; called now and then by a thread."""
    _pool().tidy()


def own_id() -> str:
    """Return what this session is called; in the script only."""
    context = get_script_run_ctx()
    return "" if context is None else context.session_id


def is_active(session_id: str) -> bool:
    """Return whether the browser of a session is connected; safe in any thread.

    A page that is reloaded or closed is not, from the same moment on. Streamlit itself
    keeps its session for two more minutes.
    """
    return not runtime.exists() or runtime.get_instance().is_active_session(session_id)


def unavailable() -> dict[str, str]:
    """Return one line on how to get it for each analyzer that is not here.

    Its model file is missing, or a library that it needs.

    `AUTO` is among them if one of those that it stands for is.
    """
    lines: dict[str, str] = {}
    for name in ANALYZERS:
        asset = ASSETS.get(asset_of(name))
        for file in (asset.name, *asset.also) if asset else ():
            try:
                asset_path(file)
            except (FileNotFoundError, RuntimeError) as error:
                lines.setdefault(name, str(error))
        if line := missing_library(name):
            lines[name] = line
    for name in (resolved(AUTO, live=live) for live in (True, False)):
        if name in lines:
            lines[AUTO] = lines[name]
    return lines


def unavailable_classifiers() -> dict[str, str]:
    """Return one line on how to get it for each mask model whose file is missing."""
    lines: dict[str, str] = {}
    for name, file in CLASSIFIERS.items():
        if file.own is not None:  # only those that can be used have a name
            continue
        try:
            asset_path(file.asset)
        except (FileNotFoundError, RuntimeError) as error:
            lines[name] = str(error)
    return lines


def _usable(wanted: str, names: Sequence[str], missing: Mapping[str, str]) -> str:
    """Return `wanted`, or with a complaint the first of `names` that is not missing."""
    if wanted not in missing:
        return wanted
    complain(f"{wanted} cannot be used here: {missing[wanted]}.")
    return next((name for name in names if name not in missing), names[0])


class _Lent:
    """What a session knows an analyzer by; another classifier does not change it.

    A stream that has it obeys the next choice without being started anew.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Wait for the other callers, then analyze; see `Analyzer.analyze`."""
        return self.loaded.analyze(image, settings)


@st.cache_resource(show_spinner=False)
def _pool() -> Pool:
    def load(choice: Choice) -> Analyzer:
        with st.spinner("Loading the models …"):
            return load_analyzer(
                choice.name, choice.classifier, second_look=choice.second_look
            )

    return Pool(load, is_active)


def _put(chosen: Preferences) -> None:
    """Put choices in force, and forget pictures that were labelled otherwise."""
    before: Preferences | None = st.session_state.get(_CURRENT)
    if before is not None and _labelling(before) != _labelling(chosen):
        st.session_state.pop(_ALBUM, None)
    st.session_state[_CURRENT] = chosen


def _labelling(chosen: Preferences) -> tuple[str, bool]:
    return chosen.classifier, chosen.second_look


def _start() -> None:
    try:
        wanted, line = Preferences.from_query(st.query_params.to_dict()), ""
    except ValueError as error:
        wanted = Preferences()
        line = f"The settings in this link were not used: {error}."
    set_preferences(wanted)
    complain(line)
