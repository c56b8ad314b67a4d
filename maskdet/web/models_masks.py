"""The Models page's part about mask models: the runs that ship, and one in use."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pandas as pd
import streamlit as st

from maskdet.analyzer import pipeline, resolved
from maskdet.classifier import CLASSIFIERS
from maskdet.runs import SETS, Run
from maskdet.web import models, session
from maskdet.web.cards import cards_html
from maskdet.web.downloads import Download, downloads
from maskdet.web.markdown import plain
from maskdet.web.models import Shelf
from maskdet.web.models_charts import AGAINST, COMPARED_SETS, comparison, drawn
from maskdet.web.models_numbers import (
    COSTS,
    COUNT,
    INTERVAL,
    MEASURE_HELP,
    MEASURES,
    SET_TITLES,
    VALUE,
    Measure,
    mistakes_line,
    numbers_csv,
    table,
)
from maskdet.web.models_samples import judged

# Sample faces that are shown: those with the worst answers.
_FEW_CARDS = 6
_JUST_CHOSEN = "maskdet.just_chosen"


def mask_models() -> None:
    """Show the runs side by side, then one of them closely."""
    shelf = models.shelf()
    in_use = session.preferences().classifier
    st.markdown(
        "A mask model says of each face that was found how its mask is worn. "
        f"In use: **{plain(in_use)}**. {_at_work()}"
    )
    for problem in shelf.problems:
        st.warning(plain(problem), icon=":material/folder_off:")
    if not shelf.runs:
        st.info(
            "There is no run to show. `maskdet train classifier` trains a "
            "model, and `maskdet export` puts its numbers in `models/runs`.",
            icon=":material/folder_open:",
        )
        return
    missing = session.unavailable_classifiers()
    _side_by_side(shelf, in_use, [name for name in CLASSIFIERS if name not in missing])
    run = _chosen(shelf, in_use)
    _about(run, in_use, missing)
    _charts(shelf, run)
    _mistakes(run, missing)
    _files(shelf, run)


def _side_by_side(shelf: Shelf, in_use: str, usable: list[str]) -> None:
    """Show the table of all runs, and accuracy against what it costs."""
    measure: Measure = st.segmented_control(
        "Compare by",
        list(MEASURES),
        default="wearing",
        required=True,
        format_func=MEASURES.__getitem__,
        key="models.measure",
        persist_state="session",
    )
    st.caption(
        f"{MEASURE_HELP[measure]} Look at the scenes first, kaggle-val and ilc-val: "
        "pictures of one face are easy. Where two intervals overlap much, the "
        "difference may be chance."
    )
    st.dataframe(
        pd.DataFrame(table(shelf, measure, in_use=in_use, usable=usable)),
        hide_index=True,
        column_config=_columns(),
        placeholder="\N{EN DASH}",
        alt=f"Table of the models: size, time, and {MEASURES[measure].lower()}",
    )
    st.caption(
        "True boxes are those people drew, found boxes those that MTCNN found, "
        "both from 20 px on. The published recipes learnt from pictures of one face, "
        "as their authors did; maskdet saw scenes too. Again from the beginning: "
        "`maskdet train "
        "classifier --recipe NAME`, then `maskdet export`; a model's card "
        "has its whole command."
    )
    _comparison(shelf)


def _columns() -> dict[str, Any]:
    """Return how columns look, by their own heading: alike below each set."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    costs = {heading: number(format="%.1f", width=95) for heading in COSTS}
    return {
        "Model": text(pinned=True, width=95),
        "Use": text(width=95),
        VALUE: number(format="%.1f", width=55),
        INTERVAL: text(alignment="right", width=100),
        COUNT: number(format="localized", width=50),
        **costs,
    }


def _comparison(shelf: Shelf) -> None:
    cost = st.segmented_control(
        "Accuracy against",
        list(AGAINST),
        default="bytes",
        required=True,
        format_func=AGAINST.__getitem__,
        key="models.cost",
        persist_state="session",
    )
    st.caption(
        "Mask against no mask on true boxes, with 95 % intervals: higher is better, "
        "further left is cheaper."
    )
    for place, name in zip(st.columns(2), COMPARED_SETS, strict=True):
        place.vega_lite_chart(
            comparison(shelf, name, cost), alt=f"Accuracy on {SET_TITLES[name]}"
        )


def _chosen(shelf: Shelf, in_use: str) -> Run:
    st.subheader("A closer look", divider="gray")
    names = list(shelf.runs)
    name = st.segmented_control(
        "Model",
        names,
        default=in_use if in_use in names else names[0],
        required=True,
        key="models.run",
        persist_state="session",
    )
    return shelf.runs[name]


def _about(run: Run, in_use: str, missing: dict[str, str]) -> None:
    """Say what the run is, and let it be put in use."""
    st.markdown(f"**{plain(run.facts['title'])}.** {plain(run.facts['about'])}")
    reason = _why_not(run, in_use, missing)
    st.button(
        "Use this model",
        type="primary",
        icon=":material/check:",
        disabled=bool(reason),
        on_click=_use,
        args=(run.name,),
        key=f"models.use.{run.name}",
    )
    # A toast of the callback itself would be lost: the page is drawn after it.
    if st.session_state.pop(_JUST_CHOSEN, "") == run.name:
        text = f"**{plain(run.name)}** is in use. {_at_work()}"
        st.toast(text, icon=":material/check:")
    if reason:
        st.caption(reason)


def _at_work() -> str:
    """Return who detects and who labels now, on video and on pictures."""
    chosen = session.preferences()
    lines = {
        where: pipeline(
            resolved(chosen.analyzer, live=live),
            chosen.classifier,
            second_look=chosen.second_look,
        )
        for where, live in (("video", True), ("pictures", False))
    }
    return " ".join(f"On {where}: {plain(line)}." for where, line in lines.items())


def _why_not(run: Run, in_use: str, missing: dict[str, str]) -> str:
    """Return why a run cannot be put in use, or an empty text."""
    if run.name == in_use:
        return "It is in use: the sidebar and every page go by it."
    if run.name in missing:
        return f"It cannot be used here: {plain(missing[run.name])}."
    if run.name in CLASSIFIERS:
        return ""
    size = run.facts["bytes"]
    large = f", {size / 1e6:,.0f} MB," if size else ""
    return (
        f"It cannot be used here: its weights{large} do not ship, only its numbers. "
        "The command in its card trains it."
    )


def _use(name: str) -> None:
    before = session.preferences()
    session.set_preferences(dataclasses.replace(before, classifier=name))
    st.session_state[_JUST_CHOSEN] = name


def _charts(shelf: Shelf, run: Run) -> None:
    """Show the run's charts, two in a row, for the set and beside the runs chosen."""
    set_place, others_place = st.columns(2)
    set_name = set_place.selectbox(
        "Drawn for",
        list(SET_TITLES),
        format_func=SETS.__getitem__,
        key="models.set",
        persist_state="session",
    )
    others = others_place.multiselect(
        "Beside it",
        [name for name in shelf.runs if name != run.name],
        key="models.beside",
        persist_state="session",
        placeholder="Other models to compare with",
    )
    if set_name not in run.answers:
        st.info(f"{run.name} was not measured on this set: {SETS[set_name]}.")
    style = session.preferences().style
    found = drawn(shelf, (run.name, *others), set_name, style)
    for start in range(0, len(found), 2):
        row = found[start : start + 2]
        for place, one in zip(st.columns(len(row)), row, strict=True):
            place.vega_lite_chart(one.spec, alt=f"{one.name} of {run.name}")
            place.caption(one.line)


def _mistakes(run: Run, missing: dict[str, str]) -> None:
    st.subheader("Mistakes")
    st.caption(
        "By truth and label given, over three classes. The pictures of these sets "
        "are not ours to show."
    )
    style = session.preferences().style
    lines = [
        f"- **{title}**: {plain(mistakes_line(run.answers[name], style))}"
        for name, title in SET_TITLES.items()
        if name in run.answers
    ]
    st.markdown("\n".join(lines))
    if run.name not in CLASSIFIERS or run.name in missing:
        return
    try:
        seen = judged(run.name)
    except (FileNotFoundError, RuntimeError) as error:
        st.warning(plain(f"{error}."), icon=":material/warning:")
        return
    st.markdown(
        f"On the faces of our own samples: **{seen.wrong} of {len(seen.truths)} "
        "wrong**. These are those it is most wrong about, or least sure of."
    )
    few = seen.first(_FEW_CARDS)
    st.html(cards_html(few.scene, few.crops, style, truths=few.truths))
    st.caption(
        "Pictures: NASA, Eileen Collins, public domain; masks drawn by this program. "
        "Drawn masks are no proof of how well real ones are read."
    )


def _files(shelf: Shelf, run: Run) -> None:
    st.subheader("Card and files")
    # A wide table or a long command must not make the page wider than a phone.
    st.html(
        "<style>.st-key-card table {display: block; overflow-x: auto;}"
        ".st-key-card code {overflow-wrap: anywhere;}</style>"
    )
    title = f"Model card of {run.name}"
    expander = st.expander(title, icon=":material/description:")
    with expander, st.container(key="card"):
        st.markdown(_smaller(run.card))
    command = models.command(run)
    if command:
        st.caption("The command that trained it:")
        st.code(command, language=None, wrap_lines=True)
    facts = json.dumps(dict(run.facts), indent=2)
    files: list[Download] = [
        ("Card", run.card, f"{run.name}-card.md", "text/markdown"),
        ("Facts (JSON)", facts, f"{run.name}-facts.json", "application/json"),
        (
            "Its numbers (CSV)",
            numbers_csv(shelf, run.name),
            f"{run.name}.csv",
            "text/csv",
        ),
        ("All numbers (CSV)", numbers_csv(shelf), "maskdet-models.csv", "text/csv"),
    ]
    downloads(files)


def _smaller(card: str) -> str:
    """Return the card with headings that stand below those of the page."""
    return card.replace("\n## ", "\n#### ").replace("# ", "### ", 1)
