"""The Tune page's goals: ask for one, see what it costs, set it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from maskdet.metrics.estimate import Estimate
from maskdet.tune.goals import Goal, GoalKind, Proposal, propose
from maskdet.tune.performance import Performance
from maskdet.types import Label, Settings
from maskdet.web import session
from maskdet.web.markdown import plain
from maskdet.web.tune import Desk, Material, offered
from maskdet.wording import counted

_KINDS: dict[GoalKind, str] = {
    "recall": "Find at least …",
    "f1": "Best balance (F1)",
    "cost": "A miss costs more",
    "equal": "Misses equal false alarms",
}
"""In the order in which they are offered, as the page words them."""

_TROUBLE = "maskdet.tune.trouble"
_WANTED = "maskdet.tune.wanted"


def ask(desk: Desk, material: Material) -> None:
    """Let the visitor say what is wanted."""
    with st.container(border=True):
        st.markdown("**Or ask for a goal**")
        goal = _goal()
        st.button(
            "Propose settings",
            icon=":material/target:",
            width="stretch",
            key="tune.propose",
            on_click=_wanted,
        )
        if st.session_state.pop(_WANTED, False):
            _propose(desk, material, goal)
        if desk.proposal is not None:
            st.caption("The answer stands above the numbers.")


def _wanted() -> None:
    st.session_state[_WANTED] = True


def _goal() -> Goal:
    style = session.preferences().style
    kind: GoalKind = st.selectbox(
        "Goal",
        list(_KINDS),
        format_func=_KINDS.__getitem__,
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


def _propose(desk: Desk, material: Material, goal: Goal) -> None:
    choice = desk.choice
    try:
        with st.spinner("Trying settings …"):
            desk.proposal = propose(
                material.judge,
                choice.settings,
                goal,
                min_iou=choice.min_iou,
            )
        st.session_state.pop(_TROUBLE, None)
    except ValueError as error:
        desk.proposal = None
        st.session_state[_TROUBLE] = str(error)


def answer(desk: Desk) -> None:
    """Show what was proposed, what it costs, and the button that sets it."""
    if _TROUBLE in st.session_state:
        st.warning(plain(st.session_state[_TROUBLE]), icon=":material/groups:")
    proposal = desk.proposal
    if proposal is None:
        return
    with st.container(border=True, key="tune_answer"):
        title = plain(proposal.goal.title(session.preferences().style))
        st.markdown(f"**Goal: {title}**")
        st.markdown(_settings(proposal))
        st.markdown("\n".join(f"- {plain(line)}" for line in proposal.lines))
        _numbers(proposal)
        with st.container(horizontal=True):
            st.button(
                "Set these",
                type="primary",
                icon=":material/check:",
                on_click=_set,
                args=(desk, proposal.after),
                disabled=offered(proposal.after) == desk.choice.settings,
                key="tune.set",
            )
            st.button("Close", icon=":material/close:", on_click=_close, args=(desk,))


def _settings(proposal: Proposal) -> str:
    before, after = proposal.before, proposal.after
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


def _numbers(proposal: Proposal) -> None:
    style = session.preferences().style
    both = {"Now": proposal.now, "Proposed": proposal.then}
    table = {
        "": list(both),
        "Found": [_share(one.recall) for one in both.values()],
        "Right when said": [_share(one.precision) for one in both.values()],
        "Missed": [one.misses for one in both.values()],
        "False alarms": [one.alarms for one in both.values()],
        "A picture": [_per_picture(one) for one in both.values()],
        style.title(Label.UNKNOWN): [_share(one.unsure) for one in both.values()],
    }
    st.dataframe(pd.DataFrame(table), hide_index=True, alt="Now and as proposed")
    name = plain(style.title(proposal.goal.label))
    st.caption(
        f"Chosen on one half of the pictures, these numbers are of the other half "
        f"({counted(proposal.then.pictures, 'picture')}, "
        f"{counted(proposal.then.recall.n, 'face')} with "
        f"“{name}”), with 95 % intervals. Confidences are as they are, not calibrated: "
        "Live uses them so."
    )


def _share(estimate: Estimate) -> str:
    if not estimate.n:
        return "\N{EN DASH}"
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.1f} % ({low:.0f} to {high:.0f})"


def _per_picture(performance: Performance) -> str:
    return f"{performance.alarms_per_picture.value:.2f}"


def _set(desk: Desk, settings: Settings) -> None:
    desk.set_settings(offered(settings))


def _close(desk: Desk) -> None:
    desk.proposal = None
