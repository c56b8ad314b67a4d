"""Run an analyzer on a visitor's dataset, with progress and a stop button."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from maskdet.analyzers.pipelines import ANALYZERS, get_analyzer_title, resolve_analyzer
from maskdet.evaluation.labelled_set import ImportedDataset
from maskdet.evaluation.operating_point import Evaluator
from maskdet.evaluation.predictions import check_limits
from maskdet.evaluation.scoring import analyzer_key, predict_dataset
from maskdet.web import session
from maskdet.web.tune.tune_state import TuneState, TuningSet
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count


def render_scoring(
    state: TuneState, dataset: ImportedDataset, *, set_key: str
) -> TuningSet | None:
    """Show the controls, and return the predictions once the analyzer has run.

    Pressing "Stop" reruns the page, which ends the current run. Images analyzed by
    then are kept.

    Args:
        state: the visitor's state.
        dataset: the dataset to analyze.
        set_key: identifies the content of the dataset.
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
        "Stop" if running else f"Run on {format_count(n, 'image')}",
        type="secondary" if running else "primary",
        icon=":material/stop:" if running else ":material/play_arrow:",
        key="tune.run",
        on_click=_set_running,
        args=(state, "" if running else title),
        width="stretch",
    )
    if not running:
        _render_stopped(state, n)
        return None
    return _score_dataset(state, dataset, name, key, title)


def _select_analyzer(preferred: str) -> str:
    """Let the visitor choose the analyzer to tune."""
    missing = session.list_unavailable_analyzers()
    names = [name for name in ANALYZERS if name not in missing]
    default = resolve_analyzer(preferred, live=False)
    return st.selectbox(
        "Analyzer to run",
        names,
        index=names.index(default) if default in names else 0,
        format_func=get_analyzer_title,
        key="tune.analyzer",
        help="Runs once on every image; afterwards the sliders are instant. Run a "
        "second analyzer to compare the two.",
    )


def _render_stopped(state: TuneState, n: int) -> None:
    if state.scoring_error:
        st.error(escape_markdown(f"{state.scoring_error}."), icon=":material/error:")
    if state.n_scored:
        st.info(
            f"Stopped after {state.n_scored} of {format_count(n, 'image')}. Run again "
            "to continue from there.",
            icon=":material/pause:",
        )


def _set_running(state: TuneState, title: str) -> None:
    state.running, state.scoring_error = title, ""


def _score_dataset(
    state: TuneState, dataset: ImportedDataset, name: str, key: str, title: str
) -> TuningSet | None:
    preferences = session.get_preferences()
    shown_name = escape_markdown(get_analyzer_title(name))
    bar = st.progress(0.0, f"{shown_name} analyzes the images …")

    def progress(done: int, total: int) -> None:
        state.n_scored = done
        bar.progress(done / max(1, total), f"{shown_name}: image {done} of {total} …")

    try:
        # A private analyzer, so that live video does not wait for it.
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
        # Otherwise every rerun of the page would fail again.
        state.running, state.scoring_error = "", f"{dataset.ground_truth.name}: {error}"
        st.rerun()
    state.running, state.n_scored = "", 0
    classified_by = (preferences.classifier, preferences.refine)
    state.tuning_sets[title] = TuningSet(evaluator, dataset.images, classified_by)
    st.rerun()


def render_notes(lines: Sequence[str]) -> None:
    """Show what was left out of a dataset; more than three lines are collapsed."""
    if not lines:
        return
    text = "\n".join(f"- {escape_markdown(line)}" for line in lines)
    if len(lines) <= 3:
        st.warning(text, icon=":material/warning:")
        return
    with st.expander(f"{len(lines)} import warnings", icon=":material/warning:"):
        st.markdown(text)
