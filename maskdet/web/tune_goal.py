"""The Tune page's goals: ask for one, see what it costs, set it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from maskdet.metrics.estimate import Estimate
from maskdet.tune.goals import Goal, GoalKind, Proposal, propose_settings
from maskdet.tune.performance import ClassPerformance
from maskdet.types import Label, Settings
from maskdet.web import session
from maskdet.web.markdown import escape_markdown
from maskdet.web.tune import TuneState, TuningSet, clamp_settings
from maskdet.wording import format_count

_GOAL_TITLES: dict[GoalKind, str] = {
    "recall": "Find at least …",
    "f1": "Best balance (F1)",
    "cost": "A miss costs more",
    "equal": "Misses equal false alarms",
}
"""In the order in which they are offered, as the page words them."""

_GOAL_ERROR_KEY = "maskdet.tune.trouble"
_PROPOSE_KEY = "maskdet.tune.wanted"


def render_goal_form(state: TuneState, tuning_set: TuningSet) -> None:
    """Let the visitor say what is wanted."""
    with st.container(border=True):
        st.markdown("**Or ask for a goal**")
        goal = _select_goal()
        st.button(
            "Propose settings",
            icon=":material/target:",
            width="stretch",
            key="tune.propose",
            on_click=_request_proposal,
        )
        if st.session_state.pop(_PROPOSE_KEY, False):
            _compute_proposal(state, tuning_set, goal)
        if state.proposal is not None:
            st.caption("The answer stands above the numbers.")


def _request_proposal() -> None:
    st.session_state[_PROPOSE_KEY] = True


def _select_goal() -> Goal:
    style = session.get_preferences().style
    kind: GoalKind = st.selectbox(
        "Goal",
        list(_GOAL_TITLES),
        format_func=_GOAL_TITLES.__getitem__,
        key="tune.goal",
        persist_state="session",
    )
    label: Label = st.selectbox(
        "Of",
        (Label.NO_MASK, Label.MASK, Label.INCORRECT),
        format_func=lambda label: f"“{style.title(label)}”",
        key="tune.goal_label",
        persist_state="session",
    )
    if kind == "recall":
        percent = st.number_input(
            "Find at least (%)",
            *(50.0, 99.9),
            value=95.0,
            step=1.0,
            format="%g",
            key="tune.goal_recall",
            persist_state="session",
        )
        return Goal(kind, recall=percent / 100, label=label)
    if kind == "cost":
        cost = st.number_input(
            "A miss costs so many false alarms",
            *(0.1, 1000.0),
            value=5.0,
            step=1.0,
            format="%g",
            key="tune.goal_cost",
            persist_state="session",
        )
        return Goal(kind, cost=cost, label=label)
    return Goal(kind, label=label)


def _compute_proposal(state: TuneState, tuning_set: TuningSet, goal: Goal) -> None:
    sliders = state.sliders
    try:
        with st.spinner("Trying settings …"):
            state.proposal = propose_settings(
                tuning_set.evaluator,
                sliders.settings,
                goal,
                min_iou=sliders.min_iou,
            )
        st.session_state.pop(_GOAL_ERROR_KEY, None)
    except ValueError as error:
        state.proposal = None
        st.session_state[_GOAL_ERROR_KEY] = str(error)


def render_goal_proposal(state: TuneState) -> None:
    """Show what was proposed, what it costs, and the button that sets it."""
    if _GOAL_ERROR_KEY in st.session_state:
        st.warning(
            escape_markdown(st.session_state[_GOAL_ERROR_KEY]), icon=":material/groups:"
        )
    proposal = state.proposal
    if proposal is None:
        return
    with st.container(border=True, key="tune_answer"):
        title = escape_markdown(proposal.goal.title(session.get_preferences().style))
        st.markdown(f"**Goal: {title}**")
        st.markdown(_format_settings(proposal))
        st.markdown(
            "\n".join(f"- {escape_markdown(line)}" for line in proposal.messages)
        )
        _render_proposal_table(proposal)
        with st.container(horizontal=True):
            st.button(
                "Set these",
                type="primary",
                icon=":material/check:",
                on_click=_apply_proposal,
                args=(state, proposal.settings_after),
                disabled=clamp_settings(proposal.settings_after)
                == state.sliders.settings,
                key="tune.set",
            )
            st.button(
                "Close",
                icon=":material/close:",
                on_click=_close_proposal,
                args=(state,),
            )


def _format_settings(proposal: Proposal) -> str:
    before, after = proposal.settings_before, proposal.settings_after
    rows = (
        ("face score", f"{before.min_score:.2f}", f"{after.min_score:.2f}"),
        ("confidence", f"{before.min_confidence:.2f}", f"{after.min_confidence:.2f}"),
        ("smallest face", f"{before.min_face_px:g} px", f"{after.min_face_px:g} px"),
    )
    parts = [
        f"{name} **{new}** (was {old})" if new != old else f"{name} **{new}** as now"
        for name, old, new in rows
    ]
    return f"Proposed: {', '.join(parts)}."


def _render_proposal_table(proposal: Proposal) -> None:
    style = session.get_preferences().style
    performances = {
        "Now": proposal.performance_before,
        "Proposed": proposal.performance_after,
    }
    table = {
        "": list(performances),
        "Found": [
            _format_rate_interval(performance.recall)
            for performance in performances.values()
        ],
        "Right when said": [
            _format_rate_interval(performance.precision)
            for performance in performances.values()
        ],
        "Missed": [
            performance.false_negatives for performance in performances.values()
        ],
        "False alarms": [
            performance.false_positives for performance in performances.values()
        ],
        "A picture": [
            _format_fp_per_image(performance) for performance in performances.values()
        ],
        style.title(Label.UNKNOWN): [
            _format_rate_interval(performance.unsure_rate)
            for performance in performances.values()
        ],
    }
    st.dataframe(pd.DataFrame(table), hide_index=True, alt="Now and as proposed")
    name = escape_markdown(style.title(proposal.goal.label))
    st.caption(
        f"Chosen on one half of the pictures, these numbers are of the other half "
        f"({format_count(proposal.performance_after.n_images, 'picture')}, "
        f"{format_count(proposal.performance_after.recall.n, 'face')} with "
        f"“{name}”), with 95 % intervals. Confidences are as they are, not calibrated: "
        "Live uses them so."
    )


def _format_rate_interval(estimate: Estimate) -> str:
    if not estimate.n:
        return "\N{EN DASH}"
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.1f} % ({low:.0f} to {high:.0f})"


def _format_fp_per_image(performance: ClassPerformance) -> str:
    return f"{performance.false_positives_per_image.value:.2f}"


def _apply_proposal(state: TuneState, settings: Settings) -> None:
    state.set_settings(clamp_settings(settings))


def _close_proposal(state: TuneState) -> None:
    state.proposal = None
