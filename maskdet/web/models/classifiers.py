"""The section of the Models page that compares classifiers and lets one be chosen.

Errors are shown on the faces of our sample images, as images of the datasets must not
be redistributed. The portrait of the samples is in the public domain, and the masks
were drawn by `scripts/make_samples.py`, so the ground truth is known.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from maskdet.classifier import CLASSIFIERS, classifier_path, crop_face, load_classifier
from maskdet.evaluation.training_runs import TrainingRun
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
from maskdet.web.models.choice import describe_pipelines, render_use_button
from maskdet.web.models.ranking import RankedModel, rank_cells, ranking_html
from maskdet.web.models.tables import (
    COST_COLUMNS,
    COUNT_HEADING,
    MEASURE_HELP,
    MEASURE_TITLES,
    PERCENT_HEADING,
    PERCENT_INTERVAL_HEADING,
    SET_TITLES,
    AccuracyMeasure,
    Column,
    Heading,
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
    select_segment,
)
from maskdet.wording import PERCENT

if TYPE_CHECKING:
    from markupsafe import Markup

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
"""Box (`x1, y1, x2, y2` in pixels) and class of each face by file name, as drawn by
`scripts/make_samples.py`."""

_MAX_CARDS = 6
"""Number of sample faces shown: those with the worst predictions."""


@dataclass(frozen=True, eq=False)
class SampleResult:
    """Predictions of one classifier for the sample faces, the worst first.

    Attributes:
        scene: the faces with their probabilities; boxes in pixels of their images.
        ground_truth: the actual class of each face.
        crops: a JPEG for each face.
    """

    scene: Scene
    ground_truth: tuple[Label, ...]
    crops: tuple[bytes, ...]

    @property
    def n_wrong(self) -> int:
        """Number of faces with a wrong prediction."""
        pairs = zip(self.scene.labels, self.ground_truth, strict=True)
        return sum(label is not actual for label, actual in pairs)


def classify_samples(classifier: str) -> SampleResult:
    """Classify the sample faces; the result is cached.

    Raises:
        FileNotFoundError: the model file is missing; the message says how to get it.
        RuntimeError: the model file is broken or of another version.
    """
    path = classifier_path(classifier)
    return _classify_samples(classifier, str(path), path.stat().st_mtime_ns)


@st.cache_data(max_entries=8, show_spinner="Classifying the samples …")
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
    ground_truth = [label for _, label in rows]
    all_probs = np.concatenate(probs)
    order = np.argsort(all_probs[np.arange(len(rows)), ground_truth], kind="stable")
    all_boxes = np.array([box for box, _ in rows], np.float32)[order]
    scene = Scene(Faces(all_boxes, np.ones(len(rows), np.float32)), all_probs[order])
    return SampleResult(
        scene,
        tuple(ground_truth[row] for row in order),
        tuple(crops[row] for row in order),
    )


def render_classifiers() -> None:
    """Show the table of all runs, then the details of one."""
    catalog = tables.load_run_catalog()
    in_use = session.get_preferences().classifier
    st.markdown(
        "A classifier predicts for each detected face whether a mask is worn, and "
        f"whether correctly. Active: **{escape_markdown(in_use)}**. "
        f"{describe_pipelines(session.get_preferences())} A classifier other than "
        "maskdet classifies every face."
    )
    for problem in catalog.problems:
        st.warning(escape_markdown(problem), icon=":material/folder_off:")
    if not catalog.runs:
        st.info(
            "No training runs found. `maskdet train classifier` trains a model, and "
            "`maskdet export` writes its metrics to `models/runs`.",
            icon=":material/folder_open:",
        )
        return
    missing = session.list_unavailable_classifiers()
    _render_run_table(
        catalog, in_use, [name for name in CLASSIFIERS if name not in missing]
    )
    run = _select_run(catalog, in_use)
    _render_run(run, missing)
    charts, mistakes, files = st.tabs(["Charts", "Mistakes", "Model card"])
    with charts:
        _render_run_charts(catalog, run)
    with mistakes:
        _render_mistakes(run, missing)
    with files:
        _render_files(catalog, run)


def _render_run_table(catalog: RunCatalog, in_use: str, usable: list[str]) -> None:
    """Show the table of all runs, and the charts of accuracy against cost."""
    measure = select_segment("Metric", MEASURE_TITLES, key="models.measure")
    st.caption(
        f"{MEASURE_HELP[measure]} kaggle-853 and ilc-2021 are the most informative: "
        "images of a single face are easy. Where two intervals overlap a lot, the "
        "difference may be chance."
    )
    columns = run_table(catalog, measure, in_use=in_use, usable=usable)
    st.html(run_ranking(measure, columns))
    with st.expander("All datasets and costs", icon=":material/table:"):
        st.dataframe(
            pd.DataFrame(columns),
            hide_index=True,
            column_config=_column_config(),
            placeholder="\N{EN DASH}",
            alt="Table of the models: size, time, and "
            f"{MEASURE_TITLES[measure].lower()}",
        )
        st.caption(
            "Boxes: ground truth, or detected with MTCNN; both from 20 px. The "
            "published recipes are trained on images of one face, as by their authors; "
            "maskdet also on images of several people. To reproduce a run: `maskdet "
            "train classifier --recipe NAME`, then `maskdet export`; the model card "
            "has the full command."
        )
    _render_cost_comparison(catalog)


def run_ranking(measure: AccuracyMeasure, columns: Mapping[Heading, Column]) -> Markup:
    """Return one metric of all runs on the compared sets, with file size, as HTML.

    Args:
        measure: the metric of the columns.
        columns: those of `run_table`.
    """
    cells = [
        rank_cells(
            cast(list[float | None], columns[SET_TITLES[name], PERCENT_HEADING]),
            cast(list[str | None], columns[SET_TITLES[name], PERCENT_INTERVAL_HEADING]),
            digits=1,
        )
        for name in COMPARED_SETS
    ]
    names = cast(list[str], columns["", "Model"])
    sizes_mb = cast(list[float | None], columns["Cost", "File (MB)"])
    no_notes = [None] * len(names)
    cells.append(rank_cells(sizes_mb, no_notes, digits=1, is_lower_better=True))
    statuses = cast(list[str], columns["", "Status"])
    rows = [
        RankedModel(name, name, status, row)
        for name, status, *row in zip(names, statuses, *cells, strict=True)
    ]
    headings = [
        (SET_TITLES[name].partition(",")[0], "%, 95 % interval")
        for name in COMPARED_SETS
    ]
    return ranking_html(
        f"{MEASURE_TITLES[measure]}, on true boxes",
        "Model",
        [*headings, ("File", "MB")],
        rows,
    )


def _column_config() -> dict[str, Any]:
    """Return the format of the columns by heading; the same below each set."""
    number_column, text_column = (
        st.column_config.NumberColumn,
        st.column_config.TextColumn,
    )
    costs = {
        heading: number_column(format="%.1f", width=95) for heading in COST_COLUMNS
    }
    return {
        "Model": text_column(pinned=True, width=95),
        "Status": text_column(width=95),
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
        f"Mask against no mask on ground-truth boxes, with 95{PERCENT} intervals. Up: "
        "more accurate, left: cheaper."
    )
    for column, name in zip(st.columns(2), COMPARED_SETS, strict=True):
        column.vega_lite_chart(
            cost_comparison_chart(catalog, name, cost),
            alt=f"Accuracy on {SET_TITLES[name]}",
        )


def _select_run(catalog: RunCatalog, in_use: str) -> TrainingRun:
    st.subheader("Details", divider="gray")
    default = in_use if in_use in catalog.runs else None
    names = list(catalog.runs)
    name = select_segment("Model", names, key="models.run", default=default)
    return catalog.runs[name]


def _render_run(run: TrainingRun, missing: dict[str, str]) -> None:
    """Describe a run, and let the visitor use its model."""
    st.markdown(
        f"**{escape_markdown(run.facts['title'])}.** "
        f"{escape_markdown(run.facts['about'])}"
    )
    size = run.facts["bytes"]
    size_text = f" ({size / 1e6:,.0f} MB)" if size else ""
    preferences, problem = session.get_preferences(), ""
    if run.name in CLASSIFIERS:
        preferences = dataclasses.replace(preferences, classifier=run.name)
    else:
        problem = (
            f"Not available: its weights{size_text} are not included, only its "
            "metrics. Train it with the command in its model card."
        )
    render_use_button(
        "Use this model",
        run.name,
        preferences,
        missing,
        key=f"models.use.{run.name}",
        problem=problem,
    )


def _render_run_charts(catalog: RunCatalog, run: TrainingRun) -> None:
    """Show the charts of a run, two in a row, with the runs to compare it with."""
    set_column, others_column = st.columns(2)
    set_name = set_column.selectbox(
        "Dataset",
        list(SET_TITLES),
        format_func=SET_TITLES.__getitem__,
        key="models.set",
        persist_state="session",
    )
    others = others_column.multiselect(
        "Compare with",
        [name for name in catalog.runs if name != run.name],
        key="models.compare_with",
        persist_state="session",
        placeholder="Other models",
    )
    if set_name not in run.predictions:
        st.info(f"{run.name} was not measured on this set: {SET_TITLES[set_name]}.")
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
    st.caption(
        "By actual and predicted class, over three classes. Images of these datasets "
        "cannot be redistributed."
    )
    style = session.get_preferences().style
    lines = [
        f"- **{title}**: "
        f"{escape_markdown(describe_mistakes(run.predictions[name], style))}"
        for name, title in SET_TITLES.items()
        if name in run.predictions
    ]
    with st.expander("By dataset", icon=":material/list:"):
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
        f"{len(sample_result.ground_truth)} wrong**. Below: the faces with the lowest "
        "probability of the actual class."
    )
    st.html(
        scene_cards_html(
            sample_result.scene,
            sample_result.crops[:_MAX_CARDS],
            style,
            ground_truth=sample_result.ground_truth,
        )
    )
    st.caption(
        "Images: NASA, Eileen Collins, public domain; masks drawn by this program. "
        "Drawn masks do not show how well real masks are classified."
    )


def _render_files(catalog: RunCatalog, run: TrainingRun) -> None:
    # Keeps a wide table or a long command from making the page wider than a phone.
    st.html(
        "<style>.st-key-card table {display: block; overflow-x: auto;}"
        ".st-key-card code {overflow-wrap: anywhere;}</style>"
    )
    with st.container(key="card"):
        # Headings below the level of the page.
        card = run.card.replace("\n## ", "\n#### ").replace("# ", "### ", 1)
        st.markdown(card)
    command = tables.training_command(run)
    if command:
        st.caption("The command that trained it:")
        st.code(command, language=None, wrap_lines=True)
    facts = json.dumps(dict(run.facts), indent=2)
    files: list[Download] = [
        ("Model card", run.card, f"{run.name}-card.md", "text/markdown"),
        ("Facts (JSON)", facts, f"{run.name}-facts.json", "application/json"),
        (
            "Metrics of this model (CSV)",
            run_estimates_csv(catalog, run.name),
            f"{run.name}.csv",
            "text/csv",
        ),
        (
            "Metrics of all models (CSV)",
            run_estimates_csv(catalog),
            "maskdet-models.csv",
            "text/csv",
        ),
    ]
    render_downloads(files)
