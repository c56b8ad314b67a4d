"""The Models page's part about mask models: the runs that ship, and one in use.

The faces of our own sample images: what is true, and what a mask model says.

The images of the data sets may not be shown; these may, as the portrait is in the
public domain and the masks were drawn by this program, which so knows the truth.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from maskdet.analyzers.pipelines import describe_pipeline, resolve_analyzer
from maskdet.classifier import CLASSIFIERS, classifier_path, crop_face, load_classifier
from maskdet.evaluation.training_runs import EVALUATION_SETS, TrainingRun
from maskdet.media import encode_jpeg, read_image
from maskdet.types import Faces, Label, Scene
from maskdet.web import session
from maskdet.web.image.cache import CROP_PX
from maskdet.web.models import tables
from maskdet.web.models.charts import (
    COMPARED_SETS,
    COST_FACT_TITLES,
    cost_comparison_chart,
    run_charts,
)
from maskdet.web.models.tables import (
    COST_COLUMNS,
    COUNT_HEADING,
    MEASURE_HELP,
    MEASURE_TITLES,
    PERCENT_HEADING,
    PERCENT_INTERVAL_HEADING,
    SET_TITLES,
    AccuracyMeasure,
    RunCatalog,
    describe_mistakes,
    run_estimates_csv,
    run_table,
)
from maskdet.web.widgets import (
    IMAGE_SAMPLES,
    Download,
    escape_markdown,
    render_downloads,
    scene_cards_html,
)

_LabelledBox: TypeAlias = tuple[tuple[float, float, float, float], Label]

_PORTRAIT_BOX: Final = (178.1, 65.0, 269.5, 176.4)

SAMPLE_FACES: Final[Mapping[str, tuple[_LabelledBox, ...]]] = {
    "portrait-bare.jpg": ((_PORTRAIT_BOX, Label.NO_MASK),),
    "portrait-mask.jpg": ((_PORTRAIT_BOX, Label.MASK),),
    "portrait-below-nose.jpg": ((_PORTRAIT_BOX, Label.INCORRECT),),
    "group.jpg": (
        ((61.4, 208.3, 118.1, 277.4), Label.NO_MASK),
        ((315.0, 192.9, 375.4, 266.4), Label.MASK),
        ((561.2, 205.0, 618.8, 275.1), Label.INCORRECT),
        ((801.2, 199.6, 859.7, 270.9), Label.MASK),
        ((153.4, 266.3, 246.6, 379.9), Label.MASK),
        ((422.0, 282.2, 518.0, 399.2), Label.INCORRECT),
        ((689.1, 261.0, 780.5, 372.4), Label.NO_MASK),
    ),
}
"""File name to the box of each face, `x1, y1, x2, y2` in pixels, and how the mask is
worn, as `scripts/make_samples.py` put them there."""


@dataclass(frozen=True, eq=False)
class SampleResult:
    """The sample faces as one mask model sees them, the worst answers first.

    Attributes:
        scene: the faces with their probabilities; boxes in pixels of their images.
        ground_truth: the true label of each.
        crops: one JPEG a face.
    """

    scene: Scene
    ground_truth: tuple[Label, ...]
    crops: tuple[bytes, ...]

    @property
    def n_wrong(self) -> int:
        """How many faces got another label than the true one."""
        pairs = zip(self.scene.labels, self.ground_truth, strict=True)
        return sum(label is not actual for label, actual in pairs)

    def take(self, n: int) -> SampleResult:
        """Return only the `n` faces with the worst answers."""
        rows = np.arange(min(n, len(self.ground_truth)))
        return SampleResult(self.scene[rows], self.ground_truth[:n], self.crops[:n])


def classify_samples(classifier: str) -> SampleResult:
    """Return what a mask model says of the sample faces, asked once.

    Raises:
        FileNotFoundError: its file is missing; the message says how to get it.
        RuntimeError: its file is broken or another version.
    """
    path = classifier_path(classifier)
    return _classify_samples(classifier, str(path), path.stat().st_mtime_ns)


@st.cache_data(max_entries=8, show_spinner="Looking at the samples …")
def _classify_samples(classifier: str, path: str, time_ns: int) -> SampleResult:
    model = load_classifier(classifier)
    crops: list[bytes] = []
    probs: list[NDArray[np.float32]] = []
    rows: list[_LabelledBox] = []
    for sample in IMAGE_SAMPLES:
        labelled_boxes = SAMPLE_FACES[sample.path.name]
        image = read_image(sample.path)
        boxes = np.array([box for box, _ in labelled_boxes], np.float32)
        probs.append(model.predict(image, boxes))
        crops += [encode_jpeg(crop_face(image, box, CROP_PX)) for box in boxes]
        rows += labelled_boxes
    return _sort_worst_first(rows, np.concatenate(probs), crops)


def _sort_worst_first(
    rows: list[_LabelledBox], probs: NDArray[np.float32], crops: list[bytes]
) -> SampleResult:
    ground_truth = [label for _, label in rows]
    order = np.argsort(probs[np.arange(len(rows)), ground_truth], kind="stable")
    boxes = np.array([box for box, _ in rows], np.float32)[order]
    scene = Scene(Faces(boxes, np.ones(len(rows), np.float32)), probs[order])
    return SampleResult(
        scene,
        tuple(ground_truth[row] for row in order),
        tuple(crops[row] for row in order),
    )


# Sample faces that are shown: those with the worst answers.
_MAX_CARDS = 6
_APPLIED_CLASSIFIER_KEY = "maskdet.just_chosen"


def render_classifiers() -> None:
    """Show the runs side by side, then one of them closely."""
    catalog = tables.load_run_catalog()
    in_use = session.get_preferences().classifier
    st.markdown(
        "A mask model says of each face that was found how its mask is worn. "
        f"In use: **{escape_markdown(in_use)}**. {_describe_pipelines()}"
    )
    for problem in catalog.problems:
        st.warning(escape_markdown(problem), icon=":material/folder_off:")
    if not catalog.runs:
        st.info(
            "There is no run to show. `maskdet train classifier` trains a "
            "model, and `maskdet export` puts its numbers in `models/runs`.",
            icon=":material/folder_open:",
        )
        return
    missing = session.list_unavailable_classifiers()
    _render_run_table(
        catalog, in_use, [name for name in CLASSIFIERS if name not in missing]
    )
    run = _select_run(catalog, in_use)
    _render_run(run, in_use, missing)
    _render_run_charts(catalog, run)
    _render_mistakes(run, missing)
    _render_files(catalog, run)


def _render_run_table(catalog: RunCatalog, in_use: str, usable: list[str]) -> None:
    """Show the table of all runs, and accuracy against what it costs."""
    measure: AccuracyMeasure = st.segmented_control(
        "Compare by",
        list(MEASURE_TITLES),
        default="wearing",
        required=True,
        format_func=MEASURE_TITLES.__getitem__,
        key="models.measure",
        persist_state="session",
    )
    st.caption(
        f"{MEASURE_HELP[measure]} Look at the scenes first, kaggle-val and ilc-val: "
        "images of one face are easy. Where two intervals overlap much, the "
        "difference may be chance."
    )
    st.dataframe(
        pd.DataFrame(run_table(catalog, measure, in_use=in_use, usable=usable)),
        hide_index=True,
        column_config=_column_config(),
        placeholder="\N{EN DASH}",
        alt=f"Table of the models: size, time, and {MEASURE_TITLES[measure].lower()}",
    )
    st.caption(
        "True boxes are those people drew, found boxes those that MTCNN found, "
        "both from 20 px on. The published recipes learnt from images of one face, "
        "as their authors did; maskdet saw scenes too. Again from the beginning: "
        "`maskdet train "
        "classifier --recipe NAME`, then `maskdet export`; a model's card "
        "has its whole command."
    )
    _render_cost_comparison(catalog)


def _column_config() -> dict[str, Any]:
    """Return how columns look, by their own heading: alike below each set."""
    number_column, text_column = (
        st.column_config.NumberColumn,
        st.column_config.TextColumn,
    )
    costs = {
        heading: number_column(format="%.1f", width=95) for heading in COST_COLUMNS
    }
    return {
        "Model": text_column(pinned=True, width=95),
        "Use": text_column(width=95),
        PERCENT_HEADING: number_column(format="%.1f", width=55),
        PERCENT_INTERVAL_HEADING: text_column(alignment="right", width=100),
        COUNT_HEADING: number_column(format="localized", width=50),
        **costs,
    }


def _render_cost_comparison(catalog: RunCatalog) -> None:
    cost = st.segmented_control(
        "Accuracy against",
        list(COST_FACT_TITLES),
        default="bytes",
        required=True,
        format_func=COST_FACT_TITLES.__getitem__,
        key="models.cost",
        persist_state="session",
    )
    st.caption(
        "Mask against no mask on true boxes, with 95 % intervals: higher is better, "
        "further left is cheaper."
    )
    for column, name in zip(st.columns(2), COMPARED_SETS, strict=True):
        column.vega_lite_chart(
            cost_comparison_chart(catalog, name, cost),
            alt=f"Accuracy on {SET_TITLES[name]}",
        )


def _select_run(catalog: RunCatalog, in_use: str) -> TrainingRun:
    st.subheader("A closer look", divider="gray")
    names = list(catalog.runs)
    name = st.segmented_control(
        "Model",
        names,
        default=in_use if in_use in names else names[0],
        required=True,
        key="models.run",
        persist_state="session",
    )
    return catalog.runs[name]


def _render_run(run: TrainingRun, in_use: str, missing: dict[str, str]) -> None:
    """Say what the run is, and let it be put in use."""
    st.markdown(
        f"**{escape_markdown(run.facts['title'])}.** "
        f"{escape_markdown(run.facts['about'])}"
    )
    reason = _unusable_reason(run, in_use, missing)
    st.button(
        "Use this model",
        type="primary",
        icon=":material/check:",
        disabled=bool(reason),
        on_click=_use_classifier,
        args=(run.name,),
        key=f"models.use.{run.name}",
    )
    # A toast of the callback itself would be lost: the page is drawn after it.
    if st.session_state.pop(_APPLIED_CLASSIFIER_KEY, "") == run.name:
        text = f"**{escape_markdown(run.name)}** is in use. {_describe_pipelines()}"
        st.toast(text, icon=":material/check:")
    if reason:
        st.caption(reason)


def _describe_pipelines() -> str:
    """Return who detects and who labels now, on video and on images."""
    preferences = session.get_preferences()
    lines = {
        medium: describe_pipeline(
            resolve_analyzer(preferences.analyzer, live=live),
            preferences.classifier,
            refine=preferences.refine,
        )
        for medium, live in (("video", True), ("images", False))
    }
    return " ".join(
        f"On {medium}: {escape_markdown(line)}." for medium, line in lines.items()
    )


def _unusable_reason(run: TrainingRun, in_use: str, missing: dict[str, str]) -> str:
    """Return why a run cannot be put in use, or an empty text."""
    if run.name == in_use:
        return "It is in use: the sidebar and every page go by it."
    if run.name in missing:
        return f"It cannot be used here: {escape_markdown(missing[run.name])}."
    if run.name in CLASSIFIERS:
        return ""
    size = run.facts["bytes"]
    large = f", {size / 1e6:,.0f} MB," if size else ""
    return (
        f"It cannot be used here: its weights{large} do not ship, only its numbers. "
        "The command in its card trains it."
    )


def _use_classifier(name: str) -> None:
    preferences = session.get_preferences()
    session.set_preferences(dataclasses.replace(preferences, classifier=name))
    st.session_state[_APPLIED_CLASSIFIER_KEY] = name


def _render_run_charts(catalog: RunCatalog, run: TrainingRun) -> None:
    """Show the run's charts, two in a row, for the set and beside the runs chosen."""
    set_column, others_column = st.columns(2)
    set_name = set_column.selectbox(
        "Drawn for",
        list(SET_TITLES),
        format_func=EVALUATION_SETS.__getitem__,
        key="models.set",
        persist_state="session",
    )
    others = others_column.multiselect(
        "Beside it",
        [name for name in catalog.runs if name != run.name],
        key="models.beside",
        persist_state="session",
        placeholder="Other models to compare with",
    )
    if set_name not in run.predictions:
        st.info(
            f"{run.name} was not measured on this set: {EVALUATION_SETS[set_name]}."
        )
    style = session.get_preferences().style
    captioned_charts = run_charts(catalog, (run.name, *others), set_name, style)
    for start in range(0, len(captioned_charts), 2):
        row = captioned_charts[start : start + 2]
        for column, captioned in zip(st.columns(len(row)), row, strict=True):
            column.vega_lite_chart(
                captioned.spec, alt=f"{captioned.name} of {run.name}"
            )
            column.caption(captioned.caption)


def _render_mistakes(run: TrainingRun, missing: dict[str, str]) -> None:
    st.subheader("Mistakes")
    st.caption(
        "By truth and label given, over three classes. The images of these sets "
        "are not ours to show."
    )
    style = session.get_preferences().style
    lines = [
        f"- **{title}**: "
        f"{escape_markdown(describe_mistakes(run.predictions[name], style))}"
        for name, title in SET_TITLES.items()
        if name in run.predictions
    ]
    st.markdown("\n".join(lines))
    if run.name not in CLASSIFIERS or run.name in missing:
        return
    try:
        sample_result = classify_samples(run.name)
    except (FileNotFoundError, RuntimeError) as error:
        st.warning(escape_markdown(f"{error}."), icon=":material/warning:")
        return
    st.markdown(
        f"On the faces of our own samples: **{sample_result.n_wrong} of "
        f"{len(sample_result.ground_truth)} "
        "wrong**. These are those it is most wrong about, or least sure of."
    )
    worst = sample_result.take(_MAX_CARDS)
    st.html(
        scene_cards_html(
            worst.scene, worst.crops, style, ground_truth=worst.ground_truth
        )
    )
    st.caption(
        "Images: NASA, Eileen Collins, public domain; masks drawn by this program. "
        "Drawn masks are no proof of how well real ones are read."
    )


def _render_files(catalog: RunCatalog, run: TrainingRun) -> None:
    st.subheader("Card and files")
    # A wide table or a long command must not make the page wider than a phone.
    st.html(
        "<style>.st-key-card table {display: block; overflow-x: auto;}"
        ".st-key-card code {overflow-wrap: anywhere;}</style>"
    )
    title = f"Model card of {run.name}"
    expander = st.expander(title, icon=":material/description:")
    with expander, st.container(key="card"):
        st.markdown(_demote_headings(run.card))
    command = tables.training_command(run)
    if command:
        st.caption("The command that trained it:")
        st.code(command, language=None, wrap_lines=True)
    facts = json.dumps(dict(run.facts), indent=2)
    files: list[Download] = [
        ("Card", run.card, f"{run.name}-card.md", "text/markdown"),
        ("Facts (JSON)", facts, f"{run.name}-facts.json", "application/json"),
        (
            "Its numbers (CSV)",
            run_estimates_csv(catalog, run.name),
            f"{run.name}.csv",
            "text/csv",
        ),
        (
            "All numbers (CSV)",
            run_estimates_csv(catalog),
            "maskdet-models.csv",
            "text/csv",
        ),
    ]
    render_downloads(files)


def _demote_headings(card: str) -> str:
    """Return the card with headings that stand below those of the page."""
    return card.replace("\n## ", "\n#### ").replace("# ", "### ", 1)
