"""The sidebar's choice of networks: who finds the faces, and who labels them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import streamlit as st

from maskdet.analyzer import (
    ANALYZERS,
    AUTO,
    classifies_every_face,
    describe_pipeline,
    has_refinement,
    list_own_model_problems,
    resolve_analyzer,
)
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.web import session
from maskdet.web.markdown import escape_markdown


def render_model_choice(*, live: bool) -> tuple[str, str, bool]:
    """Show the choice; return analyzer, mask model and whether large faces are re-read.

    Args:
        live: whether the page shows video: who is at work there may be another.
    """
    analyzer = _select_analyzer(live=live)
    resolved_name = resolve_analyzer(analyzer, live=live)
    refine = _toggle_refinement(resolved_name)
    classifier = _select_classifier()
    classifies_all = classifies_every_face(resolved_name, classifier)
    if not classifies_all and not (
        refine and has_refinement(resolved_name, classifier)
    ):
        st.caption(":gray[Not asked here: the analyzer labels the faces itself.]")
    st.caption(
        "At work: "
        f"{escape_markdown(describe_pipeline(resolved_name, classifier, refine=refine))}."
    )
    _render_model_problems()
    return analyzer, classifier, refine


def _select_analyzer(*, live: bool) -> str:
    missing = session.list_unavailable_analyzers()
    names = [name for name in (AUTO, *ANALYZERS) if name not in missing]
    _replace_missing_model("choice.analyzer", names)
    name = st.selectbox(
        "Analyzer",
        names,
        format_func=_format_analyzer,
        key="choice.analyzer",
        help="Finds the faces and labels each of them. Another one finds other faces, "
        "and takes another time. “auto” takes the best that is here: a fast one on the "
        "Live page, a thorough one for pictures.",
    )
    resolved_name = resolve_analyzer(name, live=live)
    st.caption(
        f"Here **{resolved_name}**: {ANALYZERS[resolved_name]}."
        if name == AUTO
        else f"{ANALYZERS[name]}."
    )
    if missing:
        with st.expander(f":gray[Not here: {', '.join(missing)}]"):
            for other, line in missing.items():
                st.caption(f"**{other}**: {escape_markdown(line)}.")
    return str(name)


def _format_analyzer(name: str) -> str:
    return "auto: fast on video" if name == AUTO else name


def _toggle_refinement(analyzer: str) -> bool:
    """Offer the second look; its place is taken also where there is none."""
    return st.toggle(
        "Check uncertain faces again",
        key="choice.refine",
        disabled=not has_refinement(analyzer, st.session_state["choice.classifier"]),
        help="Where the confidence of the network is low, the mask model checks the "
        "face again: better labels and fewer false positives, for a little more time. "
        "Two-stage analyzers, and mask models other than the default one, classify "
        "every face in any case.",
    )


def _select_classifier() -> str:
    """Offer the mask models that are here; with only one there is nothing to choose."""
    missing = session.list_unavailable_classifiers()
    names = [name for name in CLASSIFIERS if name not in missing]
    _replace_missing_model("choice.classifier", names)
    if len(names) < 2:
        return cast(str, st.session_state["choice.classifier"])
    name = st.selectbox(
        "Mask model",
        names,
        format_func=_format_classifier,
        key="choice.classifier",
        help="The default one labels faces where it is asked, as the line below says. "
        "Another one labels every face. The Models page shows how well each of them "
        "does.",
    )
    if missing:
        st.caption(f":gray[Not here: {', '.join(missing)}]")
    return str(name)


def _replace_missing_model(key: str, names: Sequence[str]) -> None:
    """Take the first of `names` where the file of the chosen one has gone."""
    selected = st.session_state[key]
    if selected not in names and names:
        st.session_state[key] = names[0]
        line = (
            f"{selected} is no longer in the folder of own models; {names[0]} is used."
        )
        st.warning(escape_markdown(line), icon=":material/warning:")


def _render_model_problems() -> None:
    """Say which files in the folder of own models are not offered, and why."""
    lines = list_own_model_problems()
    if lines:
        with st.expander(f":gray[Own models that cannot be used: {len(lines)}]"):
            for line in lines:
                st.caption(f"{escape_markdown(line)}.")


def _format_classifier(name: str) -> str:
    return f"{name} (default)" if name == DEFAULT_CLASSIFIER else name
