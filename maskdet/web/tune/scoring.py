"""An analyzer looks at a visitor's set: once, with progress, and it can be stopped."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from maskdet.analyzers.pipelines import ANALYZERS, resolve_analyzer
from maskdet.tuning.labelled_set import ImportedDataset
from maskdet.tuning.operating_point import Evaluator
from maskdet.tuning.predictions import check_limits
from maskdet.tuning.scoring import analyzer_key, predict_dataset
from maskdet.web import session
from maskdet.web.tune.tune_state import TuneState, TuningSet
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count


def render_scoring(
    state: TuneState, dataset: ImportedDataset, *, set_key: str
) -> TuningSet | None:
    """Return what an analyzer says about the set, once it has looked at it.

    Stopping is one more run of the page: whatever shows progress in this one ends
    there. What was looked at by then is kept.

    Args:
        state: of the visitor.
        dataset: the set.
        set_key: names its content: another set, another key.
    """
    preferences = session.get_preferences()
    start, stop = st.columns([3, 2], vertical_alignment="bottom")
    with start:
        name = _select_analyzer(preferences.analyzer)
    key = analyzer_key(name, preferences.classifier, refinement=preferences.refine)
    title = f"{set_key} {name} {key}"
    if title in state.tuning_sets:
        return state.tuning_sets[title]
    n = len(dataset.images)
    running = state.running == title
    stop.button(
        "Stop" if running else f"Look at {format_count(n, 'image')}",
        type="secondary" if running else "primary",
        icon=":material/stop:" if running else ":material/play_arrow:",
        key="tune.look",
        on_click=_set_running,
        args=(state, "" if running else title),
        width="stretch",
    )
    if not running:
        _render_stopped(state, n)
        return None
    return _score_dataset(state, dataset, name, key, title)


def _select_analyzer(preferred: str) -> str:
    """Return the analyzer that the visitor wants to tune."""
    missing = session.list_unavailable_analyzers()
    names = [name for name in ANALYZERS if name not in missing]
    default = resolve_analyzer(preferred, live=False)
    return st.selectbox(
        "Analyzer to tune",
        names,
        index=names.index(default) if default in names else 0,
        key="tune.analyzer",
        help="It looks at every image once; every slider afterwards is instant. "
        "Another one can be compared with it later.",
    )


def _render_stopped(state: TuneState, n: int) -> None:
    if state.scoring_error:
        st.error(escape_markdown(f"{state.scoring_error}."), icon=":material/error:")
    if state.n_scored:
        st.info(
            f"Stopped after {state.n_scored} of {format_count(n, 'image')}. What is "
            "done is "
            "kept: it goes on from there.",
            icon=":material/pause:",
        )


def _set_running(state: TuneState, title: str) -> None:
    state.running, state.scoring_error = title, ""


def _score_dataset(
    state: TuneState, dataset: ImportedDataset, name: str, key: str, title: str
) -> TuningSet | None:
    preferences = session.get_preferences()
    bar = st.progress(0.0, f"{name} looks at the images …")

    def progress(done: int, total: int) -> None:
        state.n_scored = done
        bar.progress(done / max(1, total), f"{name}: image {done} of {total} …")

    try:
        # Its own one, so that a live image need not wait for it.
        analyzer = session.load_private_analyzer(name, preferences)
        predictions = predict_dataset(
            dataset,
            analyzer,
            name,
            progress=progress,
            cache=state.detection_cache,
            key=key,
        )
        check_limits(predictions.ground_truth, predictions.faces)
        evaluator = Evaluator(predictions)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        # Else every further run of the page would try, and fail, again.
        state.running, state.scoring_error = "", f"{dataset.ground_truth.name}: {error}"
        st.rerun()
    state.running, state.n_scored = "", 0
    classified_by = (preferences.classifier, preferences.refine)
    state.tuning_sets[title] = TuningSet(evaluator, dataset.images, classified_by)
    st.rerun()


def render_notes(lines: Sequence[str]) -> None:
    """Say what was left out of a set; many lines are folded."""
    if not lines:
        return
    text = "\n".join(f"- {escape_markdown(line)}" for line in lines)
    if len(lines) <= 3:
        st.warning(text, icon=":material/warning:")
        return
    with st.expander(f"{len(lines)} things to know", icon=":material/warning:"):
        st.markdown(text)
