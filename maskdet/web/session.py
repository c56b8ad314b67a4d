"""State of a visitor's session: preferences, analyzers from a pool, the tab ID."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
import streamlit as st
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
from maskdet.analyzers.recent_checks import RecentChecks, analyze_frame
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.detectors import describe_missing_detector_library
from maskdet.model_files.model_zoo import MODEL_FILES, model_folders, model_path
from maskdet.serving.memory import return_free_memory
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.threads import use_threads
from maskdet.types import Image, Scene
from maskdet.web.server import streamlit_patches

logger: Final = logging.getLogger(__name__)

COLLECT_INTERVAL_S: Final = 45.0
_FREEZE_INTERVAL_S: Final = 600.0

_collector_lock: Final = threading.Lock()

MAX_IDLE_ANALYZERS: Final = 2
"""Number of unused analyzers that stay loaded: one for video, one for images."""

# The prefix distinguishes these from the keys of widgets and components.
_PREFERENCES_KEY = "maskdet.preferences"

_PENDING_KEY = "maskdet.pending"

_WARNING_KEY = "maskdet.warning"

_COMPLETED_URL_KEY = "maskdet.completed_url"

_COMPLETED_KEY = "maskdet.completed"

_ANALYZERS_KEY = "maskdet.analyzers"

_PRELOAD_ID: Final = "preload"
"""In place of a session ID, where no session acquires an analyzer."""

IMAGE_CACHE_KEY = "maskdet.image_cache"
"""Session key of the `ImageCache`, which the Image and Live pages use."""

TAB_KEY: Final = "maskdet.tab"
"""Key of the component that reports the tab ID."""

# `sessionStorage` keeps the ID until the tab is closed; other sites cannot read it.
# Without storage, a reload gets a new one.
_TAB_JS: Final = """
let tab = "";
export default function ({ data, setStateValue }) {
  try { tab = sessionStorage.getItem("maskdet.tab") || tab; } catch {}
  if (!tab) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    tab = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
    try { sessionStorage.setItem("maskdet.tab", tab); } catch {}
  }
  if (tab !== data) setStateValue("tab", tab);
}
"""

_TAB_AWAITED_KEY: Final = "maskdet.tab_awaited"

_TAB_REPORTED_KEY: Final = "maskdet.tab_reported"

_FIRST_RUN_KEY: Final = "maskdet.first_run"

_MAX_TABS: Final = 10_000

_seen_tabs: Final[dict[str, None]] = {}
"""Tab IDs that this server has seen, oldest first."""

_tab_component = st.components.v2.component(TAB_KEY, js=_TAB_JS)


@dataclass(frozen=True)
class AnalyzerKey:
    """Key of a loaded analyzer in the pool.

    Attributes:
        name: a name in `ANALYZERS`.
        classifier: a name in `CLASSIFIERS`.
        refine: whether the classifier re-checks low-confidence faces.
    """

    name: str
    classifier: str
    refine: bool


@dataclass(eq=False)
class PooledAnalyzer:
    """An analyzer with a lock, as its networks are not thread-safe.

    The thread of an abandoned stream may still use it when the next session gets it.
    """

    key: AnalyzerKey
    analyzer: Analyzer
    session_id: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last_shape: tuple[int, ...] | None = None

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Wait for other callers, then analyze; see `Analyzer.analyze`."""
        with self._lock:
            self._last_shape = image.shape
            return self.analyzer.analyze(image, settings)

    def analyze_frame(
        self, image: Image, settings: Settings, checks: RecentChecks
    ) -> Scene:
        """Likewise, for a stream; see `StreamAnalyzer.analyze_frame`."""
        with self._lock:
            self._last_shape = image.shape
            return analyze_frame(self.analyzer, image, settings, checks)

    def forget_image(self) -> None:
        """Overwrite the last image, which a detector of OpenCV may still hold."""
        with self._lock:
            if self._last_shape is not None:
                # Of the same size, for which a network uses the same memory.
                self.analyzer.analyze(np.zeros(self._last_shape, np.uint8))
                self._last_shape = None


class AnalyzerPool:
    """Pool of analyzers, each used by one session at a time.

    An analyzer that is released, or whose session has ended, is reused by the next
    session with the same key. With one common analyzer, visitors would wait for each
    other at every frame.
    """

    def __init__(
        self,
        load: Callable[[AnalyzerKey], Analyzer],
        is_active: Callable[[str], bool],
        max_idle: int = MAX_IDLE_ANALYZERS,
    ) -> None:
        """Create an empty pool.

        Args:
            load: loads an analyzer.
            is_active: whether the browser of a session is still connected.
            max_idle: number of unused analyzers that stay loaded.
        """
        self._load, self._is_active, self._max_idle = load, is_active, max_idle
        self._lock = threading.Lock()
        self._analyzers: list[PooledAnalyzer] = []  # least recently acquired first

    def __len__(self) -> int:
        """Return the number of loaded analyzers."""
        return len(self._analyzers)

    def acquire(self, key: AnalyzerKey, session_id: str) -> PooledAnalyzer:
        """Return the session's own analyzer, an idle one, or a newly loaded one.

        Raises:
            FileNotFoundError: a model is missing; the message says how to get it.
            RuntimeError: a model is broken.
        """
        with self._lock:
            pooled = self._claim(key, session_id)
        # Loading takes seconds; other sessions may use the pool meanwhile.
        pooled = pooled or PooledAnalyzer(key, self._load(key), session_id)
        with self._lock:
            if pooled in self._analyzers:
                self._analyzers.remove(pooled)
            self._analyzers.append(pooled)
        self.evict_idle()
        return pooled

    def release(self, pooled: PooledAnalyzer, session_id: str) -> None:
        """Release an analyzer for the next session, if this session still has it."""
        with self._lock:
            if pooled.session_id == session_id:
                pooled.session_id = ""
        self.evict_idle()

    def evict_idle(self) -> None:
        """Remove idle analyzers except the `max_idle` most recently acquired ones."""
        with self._lock:
            idle = [pooled for pooled in self._analyzers if self._is_idle(pooled)]
            for pooled in idle[: max(0, len(idle) - self._max_idle)]:
                self._analyzers.remove(pooled)

    def forget_images(self) -> None:
        """Overwrite the last images of the visitors who have left."""
        with self._lock:
            idle = [pooled for pooled in self._analyzers if self._is_idle(pooled)]
        for pooled in idle:
            pooled.forget_image()

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


def get_preferences() -> Preferences:
    """Return the current preferences; a new session starts with those of its link."""
    if _PREFERENCES_KEY not in st.session_state:
        _load_link_preferences()
    return cast(Preferences, st.session_state[_PREFERENCES_KEY])


def set_preferences(pending: Preferences) -> None:
    """Set the preferences; the sidebar's widgets show them from the next run on.

    Outside a widget's callback, call `st.rerun()` afterwards.
    """
    _set_current(pending)
    st.session_state[_PENDING_KEY] = pending
    set_warning("")


def pop_pending_preferences() -> Preferences | None:
    """Return the preferences that the widgets do not show yet, once; else `None`.

    An analyzer or classifier that is not available on this server, for example one
    that a link names or that was deleted, is replaced by the first available one.
    """
    current = get_preferences()
    is_pending = st.session_state.pop(_PENDING_KEY, None) is not None
    analyzers = (AUTO, DEFAULT_ANALYZER, *ANALYZERS)
    analyzer = _replace_unavailable(
        current.analyzer, analyzers, list_unavailable_analyzers()
    )
    classifiers = (DEFAULT_CLASSIFIER, *CLASSIFIERS)
    classifier = _replace_unavailable(
        current.classifier, classifiers, list_unavailable_classifiers()
    )
    if (analyzer, classifier) != (current.analyzer, current.classifier):
        current = dataclasses.replace(current, analyzer=analyzer, classifier=classifier)
    elif not is_pending:
        return None
    _set_current(current)
    return current


def begin_run() -> None:
    """Mark the start of a script run; call it before `app.py` renders anything.

    Stop the page with one line if `MASKDET_MODEL_DIR` is set and is not a folder, as
    no model can be loaded then.
    """
    st.session_state[_COMPLETED_KEY] = (
        st.session_state.pop(_COMPLETED_URL_KEY, None) == _get_page_url()
    )
    try:
        model_folders()
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        st.stop()


def end_run() -> None:
    """Mark the end of a script run; call it at the end of `app.py`.

    The address bar then has all choices that differ from the defaults, so that a
    reload and a copied address keep them.
    """
    st.session_state[_COMPLETED_URL_KEY] = _get_page_url()
    st.session_state[_FIRST_RUN_KEY] = False
    query = get_preferences().to_query()
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)


def _get_page_url() -> str:
    return (st.context.url or "").partition("?")[0]


def is_previous_run_complete() -> bool:
    """Return whether the previous run completed, on this page.

    The browser receives the value of a widget only in the run that sets it. If a
    visitor changes the page while the first one still loads, that run is stopped, and
    the browser would show and send back the lowest value of each slider and no value
    for each choice. So where this is false, values must be set again.
    """
    return cast(bool, st.session_state.get(_COMPLETED_KEY, False))


def store_preferences(preferences: Preferences) -> None:
    """Store the values of the sidebar's widgets; a change clears the warning."""
    if preferences != st.session_state.get(_PREFERENCES_KEY):
        set_warning("")
    _set_current(preferences)


def set_warning(line: str) -> None:
    """Store a one-line warning about a link or a file; an empty line clears it."""
    st.session_state[_WARNING_KEY] = line


def get_warning() -> str:
    """Return the line that `set_warning` stored, or an empty string."""
    return cast(str, st.session_state.get(_WARNING_KEY, ""))


def get_analyzer(name: str) -> Analyzer:
    """Return this session's analyzer, loaded and run once; safe to use from threads.

    It follows later changes of the classifier and of the refinement: a running stream
    uses them from the next frame on, without a restart.

    Call it in the script, before a stream starts: a frame callback has no session
    and must not wait for a model. If a model is missing or broken, show one line and
    stop the page.

    Args:
        name: a name in `ANALYZERS`; `resolve_analyzer` replaces `AUTO`.
    """
    current = get_preferences()
    # An analyzer without refinement need not be reloaded when the option changes.
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
    """Load an analyzer outside of the pool, for work in the background.

    It does not wait for live video and does not change with the visitor's
    preferences. Safe to call from any thread.

    Args:
        name: a name in `ANALYZERS`.
        preferences: classifier and refinement.

    Raises:
        FileNotFoundError: a model is missing; the message says how to get it.
        RuntimeError: a model is broken.
    """
    key = AnalyzerKey(name, preferences.classifier, preferences.refine)
    return _load_analyzer(key)


def start_garbage_collector() -> None:
    """Remove unused analyzers and collect garbage in a thread, every 45 s.

    With `runner.postScriptGC`, Streamlit collects all garbage after every run, also of
    a fragment: 85 ms in which no other thread runs. It is off in
    `.streamlit/config.toml`, and this thread replaces it.
    """
    # Two visitors who come at the same time may both find the cache empty.
    with _collector_lock:
        _start_collector()


@functools.cache
def _start_collector() -> None:
    threading.Thread(
        target=_collect_periodically, name="maskdet-garbage", daemon=True
    ).start()


def _collect_periodically() -> None:
    last_freeze_s = -_FREEZE_INTERVAL_S
    while True:
        time.sleep(COLLECT_INTERVAL_S)
        try:
            _get_pool().evict_idle()
            _get_pool().forget_images()
        except Exception:  # otherwise the thread would end without a message
            logger.exception("unused analyzers could not be removed")
        if time.monotonic() - last_freeze_s >= _FREEZE_INTERVAL_S:
            collect_and_freeze()
            last_freeze_s = time.monotonic()
        else:
            gc.collect()
        return_free_memory()


def collect_and_freeze() -> None:
    """Collect all garbage, and exclude the remaining objects from later collections.

    Most of them are libraries and models, which stay. Other frozen objects, such as a
    visitor's session, are checked again by the next call.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def preload_analyzers() -> None:
    """Load the default analyzers into the pool, so that the first visitor has them.

    Safe to call from any thread. A model that is missing or broken is left to the page
    that needs it, which says so.
    """
    for live in (True, False):
        name = resolve_analyzer(AUTO, live=live)
        key = AnalyzerKey(name, DEFAULT_CLASSIFIER, refine=True)
        with contextlib.suppress(FileNotFoundError, RuntimeError, ValueError):
            pool = _get_pool()
            pool.release(pool.acquire(key, _PRELOAD_ID), _PRELOAD_ID)


def get_session_id() -> str:
    """Return the ID of this session; call it in the script only."""
    context = get_script_run_ctx()
    return "" if context is None else context.session_id


def list_unavailable_analyzers() -> dict[str, str]:
    """Return each unavailable analyzer, with one line on how to install it.

    An analyzer is unavailable if its model file or a required library is missing.
    `AUTO` is unavailable if one of the analyzers that it selects is.
    """
    lines: dict[str, str] = {}
    for name in ANALYZERS:
        asset = MODEL_FILES.get(analyzer_model_name(name))
        files = (asset.name, *asset.requires) if asset else ()
        reasons = map(_describe_missing_file, files)
        library_reason = describe_missing_detector_library(name)
        if line := library_reason or next(filter(None, reasons), ""):
            lines[name] = line
    for name in (resolve_analyzer(AUTO, live=live) for live in (True, False)):
        if name in lines:
            lines[AUTO] = lines[name]
    return lines


def list_unavailable_classifiers() -> dict[str, str]:
    """Return each classifier whose file is missing, with one line on how to get it."""
    lines = {
        name: _describe_missing_file(file.model_name)
        for name, file in CLASSIFIERS.items()
        if file.user_path is None  # unusable user models are not in CLASSIFIERS
    }
    return {name: line for name, line in lines.items() if line}


def _describe_missing_file(name: str) -> str:
    """Return one line on how to get a model file; empty if it is there."""
    try:
        model_path(name)
    except (FileNotFoundError, RuntimeError) as error:
        return str(error)
    return ""


def _replace_unavailable(
    requested: str, names: Sequence[str], missing: Mapping[str, str]
) -> str:
    """Return `requested`; if missing, warn and return the first available name."""
    if requested in names and requested not in missing:
        return requested
    other = next((name for name in names if name not in missing), names[0])
    if requested in missing:
        line = f"{requested} is not available on this server: {missing[requested]}."
    else:
        line = f"{requested} is no longer in your models folder; using {other}."
    set_warning(line)
    return other


class _SessionAnalyzer:
    """Stable handle of a session's analyzer; its pooled analyzer can be replaced.

    A running stream uses another classifier without a restart.
    """

    def __init__(self, pooled: PooledAnalyzer) -> None:
        self.pooled = pooled

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Wait for other callers, then analyze; see `Analyzer.analyze`."""
        return self.pooled.analyze(image, settings)

    def analyze_frame(
        self, image: Image, settings: Settings, checks: RecentChecks
    ) -> Scene:
        """Likewise, for a stream; see `StreamAnalyzer.analyze_frame`."""
        return self.pooled.analyze_frame(image, settings, checks)


@st.cache_resource(show_spinner=False)
def _get_pool() -> AnalyzerPool:
    def load(key: AnalyzerKey) -> Analyzer:
        is_visible = get_script_run_ctx(suppress_warning=True) is not None
        spinner = st.spinner("Loading the models …")
        with spinner if is_visible else contextlib.nullcontext():
            return _load_analyzer(key)

    return AnalyzerPool(load, streamlit_patches.is_session_active)


def _load_analyzer(key: AnalyzerKey) -> Analyzer:
    # A server has several streams; with one thread each, it analyzes more frames.
    is_live = key.name == resolve_analyzer(AUTO, live=True)
    with use_threads(1) if is_live else contextlib.nullcontext():
        return load_analyzer(key.name, key.classifier, refine=key.refine)


def _set_current(preferences: Preferences) -> None:
    """Store the preferences; drop cached images if the classification changes."""
    previous: Preferences | None = st.session_state.get(_PREFERENCES_KEY)
    options = preferences.classifier, preferences.refine
    if previous and (previous.classifier, previous.refine) != options:
        st.session_state.pop(IMAGE_CACHE_KEY, None)
    st.session_state[_PREFERENCES_KEY] = preferences


def _load_link_preferences() -> None:
    try:
        linked, warning = Preferences.from_query(st.query_params.to_dict()), ""
    except ValueError as error:
        linked = Preferences()
        warning = f"The settings in this link were ignored: {error}."
    set_preferences(linked)
    set_warning(warning)


def get_tab_id() -> str:
    """Return a secret ID of this visitor's tab, which survives a reload.

    It is empty in the first run of a session; see `is_tab_pending`.
    """
    stored = (st.session_state.get(TAB_KEY) or {}).get("tab")
    is_valid = isinstance(stored, str) and re.fullmatch("[0-9a-f]{32}", stored)
    return cast(str, stored) if is_valid else ""


def is_tab_pending() -> bool:
    """Return whether the tab ID arrives in a moment; the page runs again then.

    A page that shows what the server keeps for a tab should show nothing until then.
    """
    is_pending = not get_tab_id() and st.session_state.get(_FIRST_RUN_KEY, True)
    st.session_state[_TAB_AWAITED_KEY] = is_pending
    return cast(bool, is_pending)


# A fragment, so that the ID does not stop the first run of the page.
@st.fragment
def render_tab_reporter() -> None:
    """Let the browser report the tab ID; call it once a run, in `app.py`.

    The page runs again if it waits for the ID, or if the server has seen the tab: it
    may keep something for it.
    """
    tab_id = get_tab_id()
    _tab_component(
        key=TAB_KEY,
        data=tab_id,
        default={"tab": ""},
        on_tab_change=lambda: None,
        width="content",
        height="content",
    )
    if not tab_id or st.session_state.get(_TAB_REPORTED_KEY) == tab_id:
        return
    st.session_state[_TAB_REPORTED_KEY] = tab_id
    is_seen = tab_id in _seen_tabs
    _seen_tabs[tab_id] = None
    for oldest in list(_seen_tabs)[:-_MAX_TABS]:
        _seen_tabs.pop(oldest, None)
    if is_seen or st.session_state.get(_TAB_AWAITED_KEY):
        st.rerun()
