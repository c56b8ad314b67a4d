"""An analyzer looks at a visitor's set: once, with progress, and it can be stopped."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from maskdet.analyzer import ANALYZERS, resolved
from maskdet.tune.files import refuse_crowds
from maskdet.tune.judging import Judge
from maskdet.tune.scoring import analyzer_key, score_set
from maskdet.tune.sets import Loaded
from maskdet.web import session
from maskdet.web.markdown import plain
from maskdet.web.tune import Desk, Material
from maskdet.wording import counted


def looked_at(desk: Desk, loaded: Loaded, *, set_key: str) -> Material | None:
    """Return what an analyzer says about the set, once it has looked at it.

    Stopping is one more run of the page: whatever shows progress in this one ends
    there. What was looked at by then is kept.

    Args:
        desk: of the visitor.
        loaded: the set.
        set_key: names its content: another set, another key.
    """
    preferences = session.preferences()
    start, stop = st.columns([3, 2], vertical_alignment="bottom")
    with start:
        name = _asked(preferences.analyzer)
    key = analyzer_key(
        name, preferences.classifier, second_look=preferences.second_look
    )
    title = f"{set_key} {name} {key}"
    if title in desk.materials:
        return desk.materials[title]
    n = len(loaded.pictures)
    running = desk.running == title
    stop.button(
        "Stop" if running else f"Look at {counted(n, 'picture')}",
        type="secondary" if running else "primary",
        icon=":material/stop:" if running else ":material/play_arrow:",
        key="tune.look",
        on_click=_switch,
        args=(desk, "" if running else title),
        width="stretch",
    )
    if not running:
        _say_stopped(desk, n)
        return None
    return _look(desk, loaded, name, key, title)


def _asked(chosen: str) -> str:
    """Return the analyzer that the visitor wants to tune."""
    missing = session.unavailable()
    names = [name for name in ANALYZERS if name not in missing]
    usual = resolved(chosen, live=False)
    return st.selectbox(
        "Analyzer to tune",
        names,
        index=names.index(usual) if usual in names else 0,
        key="tune.analyzer",
        help="It looks at every picture once; every slider afterwards is instant. "
        "Another one can be compared with it later.",
    )


def _say_stopped(desk: Desk, n: int) -> None:
    if desk.failed:
        st.error(plain(f"{desk.failed}."), icon=":material/error:")
    if desk.looked:
        st.info(
            f"Stopped after {desk.looked} of {counted(n, 'picture')}. What is done is "
            "kept: it goes on from there.",
            icon=":material/pause:",
        )


def _switch(desk: Desk, title: str) -> None:
    desk.running, desk.failed = title, ""


def _look(
    desk: Desk, loaded: Loaded, name: str, key: str, title: str
) -> Material | None:
    chosen = session.preferences()
    bar = st.progress(0.0, f"{name} looks at the pictures …")

    def progress(done: int, of: int) -> None:
        desk.looked = done
        bar.progress(done / max(1, of), f"{name}: picture {done} of {of} …")

    try:
        # Its own one, so that a live picture need not wait for it.
        analyzer = session.own_analyzer(name, chosen)
        scored = score_set(
            loaded, analyzer, name, progress=progress, cache=desk.found, key=key
        )
        refuse_crowds(scored.truth, scored.faces)
        judge = Judge(scored)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        # Else every further run of the page would try, and fail, again.
        desk.running, desk.failed = "", f"{loaded.truth.name}: {error}"
        st.rerun()
    desk.running, desk.looked = "", 0
    by = (chosen.classifier, chosen.second_look)
    desk.materials[title] = Material(judge, loaded.pictures, by)
    st.rerun()


def notes(lines: Sequence[str]) -> None:
    """Say what was left out of a set; many lines are folded."""
    if not lines:
        return
    text = "\n".join(f"- {plain(line)}" for line in lines)
    if len(lines) <= 3:
        st.warning(text, icon=":material/warning:")
        return
    with st.expander(f"{len(lines)} things to know", icon=":material/warning:"):
        st.markdown(text)
