"""The Tune page: choose data, move sliders or set a goal, apply the settings."""

from __future__ import annotations

import streamlit as st

from maskdet.web import session
from maskdet.web.theme import make_page_columns
from maskdet.web.tune import tune_state
from maskdet.web.tune.controls import (
    render_apply,
    render_goal_form,
    render_goal_proposal,
    render_sliders,
    render_undo_and_pin,
)
from maskdet.web.tune.data import select_tuning_set
from maskdet.web.tune.gallery import render_confusion
from maskdet.web.tune.tune_state import TuneState, TuningSet
from maskdet.web.tune.views import (
    render_calibration,
    render_class_metrics,
    render_curves,
    render_kpis,
    render_settings_comparison,
    render_threshold_chart,
)
from maskdet.web.widgets import select_segment

_VIEWS = {
    "Confusion matrix": render_confusion,
    "Curves": render_curves,
    "Metrics": render_class_metrics,
    "Calibration": render_calibration,
    "Compare": render_settings_comparison,
}

# Keeps the sliders visible while the charts beside them scroll.
_STICKY_CONTROLS_CSS = """<style>
@media (min-width: 900px) {
  [data-testid="stLayoutWrapper"]:has(> .st-key-tune_sliders) {
    position: sticky; top: 3.75rem;}
  .st-key-tune_sliders {max-height: calc(100vh - 4.5rem); overflow-y: auto;
    overflow-x: hidden; padding-right: .6rem; scrollbar-width: thin;}
}
</style>"""


def render_tune_page() -> None:
    """Show the page: the choice of data first, then the sliders and charts."""
    st.title("Tune")
    st.markdown(
        "See how each threshold changes precision and recall: **1.** choose data, "
        "**2.** move a slider or set a goal, **3.** apply the settings to Live."
    )
    state = tune_state.get_state()
    tuning_set = select_tuning_set(state)
    if tuning_set is None:
        return
    previous_set: object = st.session_state.get("tune.tuning_set")
    if previous_set is not tuning_set:
        # A proposal holds only for the set it was computed on.
        state.proposal, state.n_cards = None, 12
        st.session_state["tune.tuning_set"] = tuning_set
    tune_state.sync_sliders(state, force=True)
    _render_tuning(state, tuning_set)


# A slider reruns only this part.
@st.fragment
def _render_tuning(state: TuneState, tuning_set: TuningSet) -> None:
    tune_state.sync_sliders(state)
    st.html(_STICKY_CONTROLS_CSS)
    style = session.get_preferences().style
    render_kpis(state, tuning_set, style)
    controls_column, results_column = make_page_columns([3, 7])
    with controls_column.container(key="tune_sliders"):
        render_sliders(state)
        render_undo_and_pin(state)
        render_goal_form(state, tuning_set)
        render_apply(state, tuning_set)
    with results_column:
        render_goal_proposal(state)
        render_threshold_chart(state, tuning_set, style)
        view = select_segment("View", list(_VIEWS), key="tune.view", show_label=False)
        _VIEWS[view](state, tuning_set, style)
