"""What one visitor's session keeps: the choices made and the analyzers lent to it.

Loaded analyzers, each lent to one session at a time and then to the next.

Which tab of a browser a session is in: a page that is reloaded begins a new one.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    DEFAULT_ANALYZER,
    Analyzer,
    analyzer_model_name,
    has_refinement,
    load_analyzer,
    resolve_analyzer,
)
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.detectors import describe_missing_detector_library
from maskdet.model_zoo import MODEL_FILES, model_folders, model_path
from maskdet.settings import Settings
from maskdet.types import Image, Scene
from maskdet.web.preferences import Preferences

MAX_IDLE_ANALYZERS: Final = 2
"""So many analyzers stay loaded for the next visitor: one for video, one for images."""


@dataclass(frozen=True)
class AnalyzerKey:
    """What an analyzer is loaded by.

    Attributes:
        name: a name in `ANALYZERS`.
        classifier: which mask model classifies.
        refine: whether it checks large faces again.
    """

    name: str
    classifier: str
    refine: bool


@dataclass(eq=False)
class PooledAnalyzer:
    """An analyzer that takes one caller at a time: its networks keep their input.

    The thread of an abandoned stream may still hold it when the next session gets it.
    """

    key: AnalyzerKey
    analyzer: Analyzer
    session_id: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Wait for the other callers, then analyze; see `Analyzer.analyze`."""
        with self._lock:
            return self.analyzer.analyze(image, settings)


class AnalyzerPool:
    """Lends analyzers to sessions.

    One that is given back, or whose session is gone, goes to the next session that
    wants the same. An analyzer shared by all would make visitors wait for each other,
    frame by frame.
    """

    def __init__(
        self,
        load: Callable[[AnalyzerKey], Analyzer],
        is_active: Callable[[str], bool],
        max_idle: int = MAX_IDLE_ANALYZERS,
    ) -> None:
        """Start without any.

        Args:
            load: loads an analyzer.
            is_active: whether the browser of a session is still connected.
            max_idle: how many that nobody uses stay loaded.
        """
        self._load, self._is_active, self._max_idle = load, is_active, max_idle
        self._lock = threading.Lock()
        self._analyzers: list[PooledAnalyzer] = []  # the one lent last is the last

    def __len__(self) -> int:
        """Return how many are loaded."""
        return len(self._analyzers)

    def acquire(self, key: AnalyzerKey, session_id: str) -> PooledAnalyzer:
        """Return the analyzer that a session has, one that nobody uses, or a new one.

        Raises:
            FileNotFoundError: a model is missing; the message says how to get it.
            RuntimeError: a model is broken.
        """
        with self._lock:
            pooled = self._claim(key, session_id)
        # Loading takes seconds, in which others may borrow.
        pooled = pooled or PooledAnalyzer(key, self._load(key), session_id)
        with self._lock:
            if pooled in self._analyzers:
                self._analyzers.remove(pooled)
            self._analyzers.append(pooled)
        self.evict_idle()
        return pooled

    def release(self, pooled: PooledAnalyzer, session_id: str) -> None:
        """Let the next session have an analyzer, if this session still has it."""
        with self._lock:
            if pooled.session_id == session_id:
                pooled.session_id = ""
        self.evict_idle()

    def evict_idle(self) -> None:
        """Forget analyzers that nobody uses, but for those that were used last."""
        with self._lock:
            idle = [pooled for pooled in self._analyzers if self._is_idle(pooled)]
            for pooled in idle[: max(0, len(idle) - self._max_idle)]:
                self._analyzers.remove(pooled)

    def _claim(self, key: AnalyzerKey, session_id: str) -> PooledAnalyzer | None:
        matching = [pooled for pooled in self._analyzers if pooled.key == key]
        session_analyzer = next(
            (pooled for pooled in matching if pooled.session_id == session_id), None
        )
        claimed = session_analyzer or next(filter(self._is_idle, matching), None)
        if claimed is not None:
            claimed.session_id = session_id
        return claimed

    def _is_idle(self, pooled: PooledAnalyzer) -> bool:
        return not pooled.session_id or not self._is_active(pooled.session_id)


# Dots keep these apart from the keys that widgets and components use.
_PREFERENCES_KEY = "maskdet.preferences"
_PENDING_KEY = "maskdet.wanted"
_WARNING_KEY = "maskdet.complaint"
_COMPLETED_URL_KEY = "maskdet.ended"
_COMPLETED_KEY = "maskdet.whole"
_ANALYZERS_KEY = "maskdet.analyzers"
_IMAGE_CACHE_KEY = "maskdet.album"


def get_preferences() -> Preferences:
    """Return the choices in force; a new session starts with those in its link."""
    if _PREFERENCES_KEY not in st.session_state:
        _load_link_preferences()
    return cast(Preferences, st.session_state[_PREFERENCES_KEY])


def set_preferences(pending: Preferences) -> None:
    """Put choices in force; the sidebar's widgets show them from the next run on.

    Outside a widget's callback, call `st.rerun()` afterwards.
    """
    _set_current(pending)
    st.session_state[_PENDING_KEY] = pending
    set_warning("")


def pop_pending_preferences() -> Preferences | None:
    """Return the choices that the widgets do not show yet, once; else `None`.

    An analyzer or mask model that cannot be used here, as after opening the link of
    somebody who has its file, is replaced by the first one that can.
    """
    get_preferences()
    pending: Preferences | None = st.session_state.pop(_PENDING_KEY, None)
    if pending is None:
        return None
    analyzers = (AUTO, DEFAULT_ANALYZER, *ANALYZERS)
    analyzer = _replace_unavailable(
        pending.analyzer, analyzers, list_unavailable_analyzers()
    )
    classifiers = (DEFAULT_CLASSIFIER, *CLASSIFIERS)
    classifier = _replace_unavailable(
        pending.classifier, classifiers, list_unavailable_classifiers()
    )
    pending = dataclasses.replace(pending, analyzer=analyzer, classifier=classifier)
    _set_current(pending)
    return pending


def begin_run() -> None:
    """Note that a run begins; before anything that `app.py` shows.

    The page stops with one line if `MASKDET_MODEL_DIR` is set and is not a folder:
    then no model can be loaded.
    """
    st.session_state[_COMPLETED_KEY] = (
        st.session_state.pop(_COMPLETED_URL_KEY, "") == st.context.url
    )
    try:
        model_folders()
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        st.stop()


def end_run() -> None:
    """Note that a run came to its end; the last line of `app.py`."""
    st.session_state[_COMPLETED_URL_KEY] = st.context.url


def is_previous_run_complete() -> bool:
    """Return whether the run before this one came to its end, and on this page.

    The browser is told the value of a widget only in the run that sets it. Who changes
    the page while the first one still loads stops that run, and the browser would
    show, and send back, the lowest value of each slider and nothing for each choice.
    So where this is false, values are set again.
    """
    return cast(bool, st.session_state.get(_COMPLETED_KEY, False))


def store_preferences(preferences: Preferences) -> None:
    """Keep what the sidebar's widgets say; a change settles an old complaint."""
    if preferences != st.session_state.get(_PREFERENCES_KEY):
        set_warning("")
    _set_current(preferences)


def set_warning(line: str) -> None:
    """Keep one line on what was wrong with a link or a file; empty takes it back."""
    st.session_state[_WARNING_KEY] = line


def get_warning() -> str:
    """Return the line that `set_warning` kept, or an empty text."""
    return cast(str, st.session_state.get(_WARNING_KEY, ""))


def get_analyzer(name: str) -> Analyzer:
    """Return this session's analyzer, loaded and run once; safe to use from threads.

    It labels with the mask model in force, once or twice as is wanted, also after
    that was changed: a stream that has it obeys from the next frame on, and does not
    stop for it.

    Call it in the script, before a stream starts: a frame callback has no session
    and must not wait for a model. A model that is missing or broken is told in one
    line on the page, and the page stops there.

    Args:
        name: a name in `ANALYZERS`; what `AUTO` stands for is said by
            `resolve_analyzer`.
    """
    current = get_preferences()
    # Who never reads twice need not be loaded anew for it.
    refine = current.refine or not has_refinement(name, current.classifier)
    session_analyzers: dict[str, _SessionAnalyzer] = st.session_state.setdefault(
        _ANALYZERS_KEY, {}
    )
    try:
        key = AnalyzerKey(name, current.classifier, refine)
        pooled = _get_pool().acquire(key, get_session_id())
    except (FileNotFoundError, RuntimeError) as error:
        st.error(str(error), icon=":material/error:")
        st.stop()
    session_analyzer = session_analyzers.setdefault(name, _SessionAnalyzer(pooled))
    if session_analyzer.pooled is not pooled:
        _get_pool().release(session_analyzer.pooled, get_session_id())
        session_analyzer.pooled = pooled
    return session_analyzer


def load_private_analyzer(name: str, preferences: Preferences) -> Analyzer:
    """Return an analyzer that is nobody else's, for work beside the pages.

    It neither waits for the live image nor changes when the visitor chooses
    something else. Safe to call from any thread.

    Args:
        name: a name in `ANALYZERS`.
        preferences: says which mask model labels, and whether twice.

    Raises:
        FileNotFoundError: a model is missing; the message says how to get it.
        RuntimeError: a model is broken.
    """
    return load_analyzer(name, preferences.classifier, refine=preferences.refine)


def evict_idle_analyzers() -> None:
    """Forget analyzers of visitors who have left; called now and then by a thread."""
    _get_pool().evict_idle()


def get_session_id() -> str:
    """Return what this session is called; in the script only."""
    context = get_script_run_ctx()
    return "" if context is None else context.session_id


def is_session_active(session_id: str) -> bool:
    """Return whether the browser of a session is connected; safe in any thread.

    A page that is reloaded or closed is not, from the same moment on. Streamlit itself
    keeps its session for two more minutes.
    """
    return not runtime.exists() or runtime.get_instance().is_active_session(session_id)


def list_unavailable_analyzers() -> dict[str, str]:
    """Return one line on how to get it for each analyzer that is not here.

    Its model file is missing, or a library that it needs.

    `AUTO` is among them if one of those that it stands for is.
    """
    lines: dict[str, str] = {}
    for name in ANALYZERS:
        asset = MODEL_FILES.get(analyzer_model_name(name))
        for file in (asset.name, *asset.requires) if asset else ():
            try:
                model_path(file)
            except (FileNotFoundError, RuntimeError) as error:
                lines.setdefault(name, str(error))
        if line := describe_missing_detector_library(name):
            lines[name] = line
    for name in (resolve_analyzer(AUTO, live=live) for live in (True, False)):
        if name in lines:
            lines[AUTO] = lines[name]
    return lines


def list_unavailable_classifiers() -> dict[str, str]:
    """Return one line on how to get it for each mask model whose file is missing."""
    lines: dict[str, str] = {}
    for name, file in CLASSIFIERS.items():
        if file.user_path is not None:  # only those that can be used have a name
            continue
        try:
            model_path(file.model_name)
        except (FileNotFoundError, RuntimeError) as error:
            lines[name] = str(error)
    return lines


def _replace_unavailable(
    requested: str, names: Sequence[str], missing: Mapping[str, str]
) -> str:
    """Return `requested`, or with a complaint the first of `names` that is not missing."""
    if requested not in missing:
        return requested
    set_warning(f"{requested} cannot be used here: {missing[requested]}.")
    return next((name for name in names if name not in missing), names[0])


class _SessionAnalyzer:
    """What a session knows an analyzer by; another classifier does not change it.

    A stream that has it obeys the next choice without being started anew.
    """

    def __init__(self, pooled: PooledAnalyzer) -> None:
        self.pooled = pooled

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Wait for the other callers, then analyze; see `Analyzer.analyze`."""
        return self.pooled.analyze(image, settings)


@st.cache_resource(show_spinner=False)
def _get_pool() -> AnalyzerPool:
    def load(key: AnalyzerKey) -> Analyzer:
        with st.spinner("Loading the models …"):
            return load_analyzer(key.name, key.classifier, refine=key.refine)

    return AnalyzerPool(load, is_session_active)


def _set_current(preferences: Preferences) -> None:
    """Put choices in force, and forget images that were labelled otherwise."""
    previous: Preferences | None = st.session_state.get(_PREFERENCES_KEY)
    if previous is not None and _get_classification_options(
        previous
    ) != _get_classification_options(preferences):
        st.session_state.pop(_IMAGE_CACHE_KEY, None)
    st.session_state[_PREFERENCES_KEY] = preferences


def _get_classification_options(preferences: Preferences) -> tuple[str, bool]:
    return preferences.classifier, preferences.refine


def _load_link_preferences() -> None:
    try:
        linked, warning = Preferences.from_query(st.query_params.to_dict()), ""
    except ValueError as error:
        linked = Preferences()
        warning = f"The settings in this link were not used: {error}."
    set_preferences(linked)
    set_warning(warning)


TAB_KEY: Final = "maskdet.tab"
"""Under this key the browser tells it."""

# The tab keeps this number until it is closed, and tells nobody else.
_TAB_JS: Final = """
export default function ({ data, setStateValue }) {
  let tab = "";
  try {
    tab = sessionStorage.getItem("maskdet.tab") || "";
    if (!tab) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      tab = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
      sessionStorage.setItem("maskdet.tab", tab);
    }
  } catch {
    return;  // a browser that keeps nothing: a reload finds nothing again
  }
  if (tab !== data) setStateValue("tab", tab);
}
"""
_tab_component = st.components.v2.component(TAB_KEY, js=_TAB_JS)


def get_tab_id() -> str:
    """Return a secret number of this visitor's tab, the same after a reload.

    Call it once a run. It is empty in the first run of a session, and where the browser
    keeps nothing; the browser runs the page again when it tells it.
    """
    stored = (st.session_state.get(TAB_KEY) or {}).get("tab")
    tab_id = (
        stored
        if isinstance(stored, str) and re.fullmatch("[0-9a-f]{32}", stored)
        else ""
    )
    _tab_component(
        key=TAB_KEY,
        data=tab_id,
        default={"tab": ""},
        on_tab_change=lambda: None,
        width="content",
        height="content",
    )
    return tab_id
