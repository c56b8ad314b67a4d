"""The confusion matrix of the Tune page and its gallery of face cards.

A card shows the crop of a face, its position in the image, its class probabilities,
and its predicted and actual class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from maskdet.boxes import Boxes, sizes_px
from maskdet.charts.spec import CLICK_SELECTION, GREY
from maskdet.classifier import crop_face
from maskdet.datasets.archives import DatasetError
from maskdet.drawing import pixelate_image
from maskdet.evaluation.operating_point import (
    ACTUAL_KEYS,
    MISSED,
    NO_FACE,
    PREDICTED_KEYS,
    EvaluationResult,
    FaceRef,
)
from maskdet.evaluation.predictions import AnalyzerPredictions
from maskdet.html_templates import encode_data_url
from maskdet.media import ImageReadError, encode_jpeg
from maskdet.metrics.calibration import apply_temperature
from maskdet.style import Style
from maskdet.tuning.charts import (
    actual_titles,
    predicted_titles,
    tuning_confusion_chart,
)
from maskdet.tuning.decision_changes import (
    DecisionChange,
    NearMiss,
    find_decision_changes,
    find_near_misses,
)
from maskdet.types import Label
from maskdet.web.image.cache import CROP_PX
from maskdet.web.image.results import shorten_name
from maskdet.web.theme import is_dark_theme
from maskdet.web.tune.data import SAMPLES_NOTE, find_sample_set
from maskdet.web.tune.tune_state import TuneState, TuningSet
from maskdet.web.widgets import face_cards_html, prob_bars, select_segment
from maskdet.wording import format_count

if TYPE_CHECKING:
    from markupsafe import Markup

_CARDS_STEP = 12
"""Cards shown at first, and added by each click on "Show more"."""

_GALLERY_KEY = "tune.gallery"

_SAMPLE_SCENES = "Sample scenes"

_CELL_KEY = "tune.cell"
"""Session key of the selected row and column of the confusion matrix."""

_SETTING_TITLES = {
    "min_score": "detection score",
    "min_confidence": "confidence",
    "min_face_px": "size",
    "nms_iou": "NMS IoU",
}


@dataclass(frozen=True)
class FaceCard:
    """One face to show.

    Attributes:
        face: the face.
        note: why the face is shown; may be empty.
    """

    face: FaceRef
    note: str = ""


def tune_cards_html(
    tuning_set: TuningSet,
    outcome: EvaluationResult,
    faces: Iterable[FaceCard],
    style: Style,
) -> Markup:
    """Return the cards as HTML; their faces are blurred if `style.blur` is on."""
    cards = [_describe_face(tuning_set, outcome, card, style) for card in faces]
    return face_cards_html(cards)


def _describe_face(
    tuning_set: TuningSet, outcome: EvaluationResult, card: FaceCard, style: Style
) -> dict[str, object]:
    """Return the images, texts and bars of a card."""
    face = card.face
    scored, row = outcome.predictions, face.detection_row
    actual = "No face"
    if face.ground_truth_row >= 0:
        label = Label(int(scored.ground_truth.labels[face.ground_truth_row]))
        actual = "A face" if label is Label.UNKNOWN else style.title(label)
    prediction, bars, facts = "Missed", [], []
    if row >= 0:
        predicted = _predicted_label(outcome, face)
        prediction = "Not shown" if predicted is None else style.title(predicted)
        probs = scored.probs[row]
        if outcome.temperature != 1:
            probs = apply_temperature(probs[None], outcome.temperature)[0]
        bars = prob_bars(probs, style)
        facts = [("Detection score", f"{scored.scores[row]:.2f}")]
    name = shorten_name(scored.ground_truth.names[face.image_index])
    size_px = float(sizes_px(_face_box(scored, face)[None])[0])
    crop = _crop_url(tuning_set, face, blur=style.blur)
    return {
        "images": [
            *[(crop, "The face")] * bool(crop),
            (_location_url(outcome, face, style), "Position in the image"),
        ],
        "colour": "",
        "title": prediction,
        "actual": actual,
        "note": (card.note, ""),
        "bars": bars,
        "facts": [*facts, (f"Image {name}", f"{size_px:.0f} px")],
    }


def _predicted_label(outcome: EvaluationResult, face: FaceRef) -> Label | None:
    """Return the predicted class; `None` if the detection is not shown."""
    positions = np.flatnonzero(outcome.shown_rows == face.detection_row)
    return Label(int(outcome.predicted[positions[0]])) if len(positions) else None


def _face_box(predictions: AnalyzerPredictions, face: FaceRef) -> Boxes:
    """Return the detected box of a face; without a detection, the true one."""
    is_detected = face.detection_row >= 0
    boxes: Boxes = (
        predictions.faces if is_detected else predictions.ground_truth.faces
    ).boxes
    row = face.detection_row if is_detected else face.ground_truth_row
    return np.asarray(boxes[row], np.float32)


def _crop_url(tuning_set: TuningSet, face: FaceRef, *, blur: bool) -> str:
    """Return the crop of a face, pixelated if asked for; "" without images."""
    images = tuning_set.images
    if images is None:
        return ""

    def encode_crop() -> str:
        try:
            image = images.load_image(face.image_index)
        except (DatasetError, ImageReadError):
            return ""
        crop = crop_face(image, _face_box(tuning_set.predictions, face), CROP_PX)
        return encode_data_url(encode_jpeg(pixelate_image(crop) if blur else crop))

    return tuning_set.get_cached(("crop", face, blur), encode_crop)


def _location_url(outcome: EvaluationResult, face: FaceRef, style: Style) -> str:
    """Return a drawing of the position of the face in its image.

    It is an address, as Streamlit removes inline SVG from HTML.
    """
    scored = outcome.predictions
    ground_truth = scored.ground_truth
    width, height = (int(side) for side in ground_truth.sizes_wh[face.image_index])
    in_image = ground_truth.faces.image_indices == face.image_index
    rects = [
        (ground_truth.faces.boxes[row], 'stroke-opacity=".55"')
        for row in np.flatnonzero(in_image)
        if row != face.ground_truth_row
    ]
    if face.ground_truth_row >= 0:
        dashed = 'stroke-dasharray="4 3" stroke-width="2"'
        rects.append((ground_truth.faces.boxes[face.ground_truth_row], dashed))
    if face.detection_row >= 0:
        label = _predicted_label(outcome, face)
        colour = style.colour_css(Label.UNKNOWN if label is None else label)
        solid = f'stroke="{colour}" stroke-width="2.5"'
        rects.append((scored.faces.boxes[face.detection_row], solid))
    shapes = "".join(_rect_svg(box, attributes) for box, attributes in rects)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">'
        f'<g fill="none" stroke="{GREY}">{shapes}</g></svg>'
    )
    return encode_data_url(svg.encode(), "image/svg+xml")


def _rect_svg(box: np.ndarray, attributes: str) -> str:
    x1, y1, x2, y2 = (float(coordinate) for coordinate in box)
    return (
        f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{max(0.0, x2 - x1):.1f}" '
        f'height="{max(0.0, y2 - y1):.1f}" '
        f'vector-effect="non-scaling-stroke" {attributes}/>'
    )


_LAST, _NEAREST, _CELL = "Last change", "Borderline", "Selected cell"


def render_confusion(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the confusion matrix and a gallery of faces."""
    outcome = tuning_set.evaluate(state.sliders)
    st.caption(
        "Rows: actual class. Columns: predicted class. Blue: correct, orange: wrong. "
        "**Click a cell** to see its faces."
    )
    st.vega_lite_chart(
        tuning_confusion_chart(
            outcome, style, st.session_state.get(_CELL_KEY), dark=is_dark_theme()
        ),
        key="tune.matrix",
        on_select=lambda: _on_matrix_click(state),
        selection_mode=CLICK_SELECTION,
        alt="Confusion matrix: actual by predicted class",
    )
    _render_gallery(state, tuning_set, style)


def _on_matrix_click(state: TuneState) -> None:
    selection = st.session_state["tune.matrix"]["selection"].get(CLICK_SELECTION) or []
    if selection:
        cell = int(selection[0]["row"]), int(selection[0]["column"])
        st.session_state[_CELL_KEY] = cell
        st.session_state[_GALLERY_KEY] = _CELL
        state.n_cards = _CARDS_STEP


def _render_gallery(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    st.header("Faces", divider="gray")
    tuning_set = _select_gallery_set(state, tuning_set)
    outcome = tuning_set.evaluate(state.sliders)
    # A click on the matrix sets the key too, so there is no `default`.
    st.session_state.setdefault(_GALLERY_KEY, _LAST)
    selection = st.segmented_control(
        "Faces",
        (_LAST, _NEAREST, _CELL),
        required=True,
        label_visibility="collapsed",
        key=_GALLERY_KEY,
        on_change=_reset_card_count,
        args=(state,),
        persist_state="session",
    )
    if selection == _LAST:
        cards = _list_last_changes(state, tuning_set, outcome, style)
    elif selection == _NEAREST:
        cards = _list_near_misses(tuning_set, outcome)
    else:
        cards = _list_cell_faces(state, outcome, style)
    if not cards:
        return
    st.html(tune_cards_html(tuning_set, outcome, cards[: state.n_cards], style))
    if len(cards) > state.n_cards:
        st.button(
            f"Show more (of {len(cards):,})",
            icon=":material/expand_more:",
            on_click=_show_more,
            args=(state,),
            key="tune.more",
        )


def _select_gallery_set(state: TuneState, tuning_set: TuningSet) -> TuningSet:
    """Return the set whose faces are shown: one with images, if there is one."""
    sample_set = None
    if tuning_set.images is None:
        sample_set = find_sample_set(state, tuning_set)
    if sample_set is None:
        return tuning_set
    this_set = "The data above, without images"
    choice = select_segment(
        "Faces of",
        (_SAMPLE_SCENES, this_set),
        key="tune.faces_of",
        show_label=False,
    )
    if choice == this_set:
        return tuning_set
    n_images = format_count(len(sample_set.predictions.ground_truth.names), "image")
    st.caption(
        f"Faces of {n_images} at the same settings, as built-in data has no images: "
        f"{SAMPLES_NOTE}. All numbers above are of the data above."
    )
    return sample_set


def _reset_card_count(state: TuneState) -> None:
    state.n_cards = _CARDS_STEP


def _show_more(state: TuneState) -> None:
    state.n_cards += _CARDS_STEP


def _list_last_changes(
    state: TuneState, tuning_set: TuningSet, outcome: EvaluationResult, style: Style
) -> list[FaceCard]:
    """Return the faces that the last change affected; show how many got better."""
    if state.previous is None:
        st.info(
            "Move a slider to see the faces that it affects. Until then: borderline "
            "errors.",
            icon=":material/swipe:",
        )
        return _list_near_misses(tuning_set, outcome)
    before = state.previous
    changes: tuple[DecisionChange, ...] = tuning_set.get_cached(
        ("changes", before, state.sliders),
        lambda: find_decision_changes(tuning_set.evaluate(before), outcome),
    )
    better = sum(change.better is True for change in changes)
    worse = sum(change.better is False for change in changes)
    if not changes:
        st.caption("The last change affected no face.")
    else:
        st.caption(
            f"The last change affected **{len(changes):,}** faces: {better:,} better, "
            f"{worse:,} worse. Closest to the threshold first."
        )
    return [FaceCard(change.face, _change_note(change, style)) for change in changes]


def _change_note(change: DecisionChange, style: Style) -> str:
    change_titles = {True: "Better", False: "Worse", None: "Neutral"}
    before, after = (
        _format_column(change.before, style),
        _format_column(change.after, style),
    )
    return f"{change_titles[change.better]}: was {before}, now {after}"


def _format_column(column: int, style: Style) -> str:
    if column == MISSED:
        return "not shown"
    return f"“{predicted_titles(style)[column]}”"


def _list_near_misses(
    tuning_set: TuningSet, outcome: EvaluationResult
) -> list[FaceCard]:
    st.caption(
        "Errors closest to a threshold: a small change of one slider fixes them."
    )
    near_misses: Sequence[NearMiss] = tuning_set.get_cached(
        ("near misses", outcome.settings, outcome.min_iou, outcome.temperature),
        lambda: find_near_misses(outcome),
    )
    if not near_misses:
        st.caption("No such errors.")
    return [
        FaceCard(near_miss.face, _near_miss_note(near_miss))
        for near_miss in near_misses
    ]


def _near_miss_note(near_miss: NearMiss) -> str:
    name = _SETTING_TITLES.get(near_miss.setting, near_miss.setting)
    if near_miss.setting == "min_face_px":
        value, threshold = f"{near_miss.value:.0f} px", f"{near_miss.threshold:.0f}"
    else:
        value, threshold = f"{near_miss.value:.2f}", f"{near_miss.threshold:.2f}"
    return f"{name[0].upper()}{name[1:]} {value} (threshold {threshold})"


def _list_cell_faces(
    state: TuneState, outcome: EvaluationResult, style: Style
) -> list[FaceCard]:
    """Return the faces of a cell; a select box chooses it without a mouse."""
    cells = [
        (row, column)
        for row in range(len(ACTUAL_KEYS))
        for column in range(len(PREDICTED_KEYS))
        if (row, column) != (NO_FACE, MISSED)
    ]
    st.session_state.setdefault(_CELL_KEY, (1, MISSED))
    cell = st.selectbox(
        "Cell",
        cells,
        format_func=lambda cell: _format_cell(outcome, cell, style),
        key=_CELL_KEY,
        on_change=_reset_card_count,
        args=(state,),
        persist_state="session",
        label_visibility="collapsed",
    )
    face_refs = outcome.faces_in_cell(*cell)
    if not face_refs:
        st.caption("No faces in this cell.")
    return [FaceCard(face_ref) for face_ref in face_refs]


def _format_cell(outcome: EvaluationResult, cell: tuple[int, int], style: Style) -> str:
    row, column = cell
    count = int(outcome.confusion[row, column])
    actual = actual_titles(style)[row]
    if column == MISSED:
        return f"{actual}: missed ({count:,})"
    return f"{actual}: predicted “{predicted_titles(style)[column]}” ({count:,})"
