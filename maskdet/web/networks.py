"""The sidebar's choice of networks: who finds the faces, and who labels them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import streamlit as st

from maskdet.analyzer import (
    ANALYZERS,
    AUTO,
    classifies_every_face,
    own_model_problems,
    pipeline,
    reads_twice,
    resolved,
)
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.web import session
from maskdet.web.markdown import plain


def choose_networks(*, live: bool) -> tuple[str, str, bool]:
    """Show the choice; return analyzer, mask model and whether large faces are re-read.

    Args:
        live: whether the page shows video: who is at work there may be another.
    """
    analyzer = _analyzer(live=live)
    at_work = resolved(analyzer, live=live)
    second_look = _second_look(at_work)
    classifier = _classifier()
    every = classifies_every_face(at_work, classifier)
    if not every and not (second_look and reads_twice(at_work, classifier)):
        st.caption(":gray[Not asked here: the analyzer labels the faces itself.]")
    st.caption(
        f"At work: {plain(pipeline(at_work, classifier, second_look=second_look))}."
    )
    _problems()
    return analyzer, classifier, second_look


def _analyzer(*, live: bool) -> str:
    missing = session.unavailable()
    names = [name for name in (AUTO, *ANALYZERS) if name not in missing]
    _keep_to("choice.analyzer", names)
    name = st.selectbox(
        "Analyzer",
        names,
        format_func=_with_meaning,
        key="choice.analyzer",
        help="Finds the faces and labels each of them. Another one finds other faces, "
        "and takes another time. “auto” takes the best that is here: a fast one on the "
        "Live page, a thorough one for pictures.",
    )
    at_work = resolved(name, live=live)
    st.caption(
        f"Here **{at_work}**: {ANALYZERS[at_work]}."
        if name == AUTO
        else f"{ANALYZERS[name]}."
    )
    if missing:
        with st.expander(f":gray[Not here: {', '.join(missing)}]"):
            for other, line in missing.items():
                st.caption(f"**{other}**: {plain(line)}.")
    return str(name)


def _with_meaning(name: str) -> str:
    return "auto: fast on video" if name == AUTO else name


def _second_look(analyzer: str) -> bool:
    """Offer the second look; its place is taken also where there is none."""
    return st.toggle(
        "Check uncertain faces again",
        key="choice.second_look",
        disabled=not reads_twice(analyzer, st.session_state["choice.classifier"]),
        help="Where the confidence of the network is low, the mask model checks the "
        "face again: better labels and fewer false positives, for a little more time. "
        "Two-stage analyzers, and mask models other than the default one, classify "
        "every face in any case.",
    )


def _classifier() -> str:
    """Offer the mask models that are here; with only one there is nothing to choose."""
    missing = session.unavailable_classifiers()
    names = [name for name in CLASSIFIERS if name not in missing]
    _keep_to("choice.classifier", names)
    if len(names) < 2:
        return cast(str, st.session_state["choice.classifier"])
    name = st.selectbox(
        "Mask model",
        names,
        format_func=_with_default,
        key="choice.classifier",
        help="The default one labels faces where it is asked, as the line below says. "
        "Another one labels every face. The Models page shows how well each of them "
        "does.",
    )
    if missing:
        st.caption(f":gray[Not here: {', '.join(missing)}]")
    return str(name)


def _keep_to(key: str, names: Sequence[str]) -> None:
    """Take the first of `names` where the file of the chosen one has gone."""
    chosen = st.session_state[key]
    if chosen not in names and names:
        st.session_state[key] = names[0]
        line = f"{chosen} is no longer in the folder of own models; {names[0]} is used."
        st.warning(plain(line), icon=":material/warning:")


def _problems() -> None:
    """Say which files in the folder of own models are not offered, and why."""
    lines = own_model_problems()
    if lines:
        with st.expander(f":gray[Own models that cannot be used: {len(lines)}]"):
            for line in lines:
                st.caption(f"{plain(line)}.")


def _with_default(name: str) -> str:
    return f"{name} (default)" if name == DEFAULT_CLASSIFIER else name
