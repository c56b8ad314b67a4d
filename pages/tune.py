"""Tune: choose data, move a slider, see what it costs; or ask for a goal."""

from __future__ import annotations

import streamlit as st

from maskdet.web import session, tune
from maskdet.web.entry import through_app
from maskdet.web.tune import Desk, Material
from maskdet.web.tune_compare import compare_view
from maskdet.web.tune_controls import back_and_keep, sliders, use
from maskdet.web.tune_data import choose
from maskdet.web.tune_faces import faces
from maskdet.web.tune_goal import answer, ask
from maskdet.web.tune_overview import cut, price
from maskdet.web.tune_views import confidence_view, curve_view, number_view

_VIEWS = {
    "Right and wrong": faces,
    "Curves": curve_view,
    "Numbers": number_view,
    "How sure": confidence_view,
    "Compare": compare_view,
}

# The sliders stay in sight while the charts beside them are scrolled.
_STYLE = """<style>
@media (min-width: 900px) {
  [data-testid="stLayoutWrapper"]:has(> .st-key-tune_sliders) {
    position: sticky; top: 3.75rem;}
  .st-key-tune_sliders {max-height: calc(100vh - 4.5rem); overflow-y: auto;
    overflow-x: hidden; padding-right: .6rem; scrollbar-width: thin;}
}
</style>"""


def page() -> None:
    """Show the page: data first, then the desk that goes by it."""
    st.title("Tune")
    st.markdown(
        "See what a threshold costs before you choose it: **1.** choose data, "
        "**2.** move a slider or ask for a goal, **3.** use it on Live."
    )
    desk = tune.desk()
    material = choose(desk)
    if material is None:
        return
    if st.session_state.get("tune.material") is not material:
        # What was asked of one set says nothing about another.
        desk.proposal, desk.first = None, 12
        st.session_state["tune.material"] = material
    tune.fill(desk, all_of_them=True)
    _desk(desk, material)


# A slider draws only this part anew.
@st.fragment
def _desk(desk: Desk, material: Material) -> None:
    tune.fill(desk)
    st.html(_STYLE)
    style = session.preferences().style
    price(desk, material, style)
    left, right = st.columns([3, 7], gap="medium")
    with left.container(key="tune_sliders"):
        sliders(desk)
        back_and_keep(desk)
        ask(desk, material)
        use(desk, material)
    with right:
        answer(desk)
        cut(desk, material, style)
        view = st.segmented_control(
            "What to look at",
            list(_VIEWS),
            default="Right and wrong",
            required=True,
            label_visibility="collapsed",
            key="tune.view",
            persist_state="session",
        )
        _VIEWS[view](desk, material, style)


through_app()
page()
