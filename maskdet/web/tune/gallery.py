"""Faces of a set as cards: where each lies, what was said of it, and what is true.

The Tune page's matrix and gallery: what is right, what is wrong, which faces.
"""

from __future__ import annotations

import dataclasses
import html
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from maskdet.boxes import sizes_px
from maskdet.charts.theme import GREY
from maskdet.charts.tuning import CLICK_SELECTION
from maskdet.classifier import crop_face
from maskdet.datasets.archives import DatasetError
from maskdet.drawing import pixelate_image
from maskdet.media import ImageReadError, encode_jpeg
from maskdet.metrics.calibration import apply_temperature
from maskdet.style import Style, format_percent
from maskdet.tuning.decision_changes import (
    DecisionChange,
    NearMiss,
    find_decision_changes,
    find_near_misses,
)
from maskdet.tuning.operating_point import (
    ACTUAL_KEYS,
    MISSED,
    NO_FACE,
    PREDICTED_KEYS,
    EvaluationResult,
    FaceRef,
)
from maskdet.tuning.predictions import Float32Array
from maskdet.types import CLASSES, Label
from maskdet.web import session
from maskdet.web.image.cache import CROP_PX
from maskdet.web.image.results import shorten_name
from maskdet.web.tune.charts import (
    actual_titles,
    predicted_titles,
    tuning_confusion_chart,
)
from maskdet.web.tune.tune_state import TuneState, TuningSet

# Greys come from the text colour, so that the cards suit the light and dark theme.
_CARDS_CSS = """<style>
.maskdet-hits {display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(15.5rem, 100%), 1fr));}
.maskdet-hits figure {display: flex; gap: .65rem; margin: 0; padding: .55rem;
  border: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  border-radius: .5rem; min-width: 0;}
.maskdet-hits .seen {flex: none; width: 84px; display: flex; flex-direction: column;
  gap: .35rem;}
.maskdet-hits img {width: 84px; max-height: 84px; border-radius: .25rem;
  background: color-mix(in srgb, currentColor 9%, transparent);}
.maskdet-hits figcaption {flex: 1; min-width: 0; font-size: .78rem; line-height: 1.3;}
.maskdet-hits b {font-size: .86rem; display: block;}
.maskdet-hits p {display: flex; justify-content: space-between; gap: .4rem;
  margin: .12rem 0 0; font-size: inherit;}
.maskdet-hits p span {white-space: nowrap; overflow: hidden; text-overflow: ellipsis;}
.maskdet-hits .bar {height: 4px; border-radius: 3px; overflow: hidden;
  background: color-mix(in srgb, currentColor 15%, transparent);}
.maskdet-hits .bar i {display: block; height: 100%;}
.maskdet-hits .note {opacity: .85; white-space: normal;}
</style>"""


@dataclass(frozen=True)
class FaceCard:
    """One face to show.

    Attributes:
        face: the face.
        note: why it is shown, in our own words; empty if that goes without saying.
    """

    face: FaceRef
    note: str = ""


def face_cards_html(
    tuning_set: TuningSet,
    outcome: EvaluationResult,
    cards: Iterable[FaceCard],
    style: Style,
    *,
    blur: bool = False,
) -> str:
    """Return the cards as HTML; names of images and classes are foreign words."""
    style = dataclasses.replace(style, blur=blur)
    parts = "".join(_card_html(tuning_set, outcome, card, style) for card in cards)
    return f'{_CARDS_CSS}<section class="maskdet-hits" aria-label="Faces">{parts}</section>'


def _card_html(
    tuning_set: TuningSet, outcome: EvaluationResult, card: FaceCard, style: Style
) -> str:
    scored, face_ref = outcome.predictions, card.face
    rows_html = [f"<b>{_format_heading(outcome, face_ref, style)}</b>"]
    if card.note:
        rows_html.append(f'<p><span class="note">{html.escape(card.note)}</span></p>')
    if face_ref.detection_row >= 0:
        probs = _face_probs(outcome, face_ref.detection_row)
        rows_html += [
            _bar_html(
                html.escape(style.title(label)), float(prob), style.colour_css(label)
            )
            for label, prob in zip(CLASSES, probs, strict=True)
        ]
        score = float(scored.scores[face_ref.detection_row])
        rows_html.append(_row_html("Face score", f"{score:.2f}"))
    name = html.escape(shorten_name(scored.ground_truth.names[face_ref.image_index]))
    rows_html.append(
        _row_html(f"Image {name}", f"{_face_size_px(outcome, face_ref):.0f} px")
    )
    crop_html = _crop_html(tuning_set, face_ref, blur=style.blur)
    images_html = crop_html + _location_html(outcome, face_ref, style)
    return (
        f'<figure><div class="seen">{images_html}</div>'
        f"<figcaption>{''.join(rows_html)}</figcaption></figure>"
    )


def _format_heading(outcome: EvaluationResult, face: FaceRef, style: Style) -> str:
    actual = "No face"
    if face.ground_truth_row >= 0:
        label = Label(
            int(outcome.predictions.ground_truth.labels[face.ground_truth_row])
        )
        actual = "A face" if label is Label.UNKNOWN else style.title(label)
    texts = html.escape(format_prediction(outcome, face, style)), html.escape(actual)
    return "{} <small>· truth: {}</small>".format(*texts)


def _face_probs(outcome: EvaluationResult, row: int) -> Float32Array:
    """Return the three probabilities of a face found, also of one that is not shown."""
    probs: Float32Array = outcome.predictions.probs[row]
    if outcome.temperature == 1:
        return probs
    calibrated: Float32Array = apply_temperature(probs[None], outcome.temperature)[0]
    return calibrated


def format_prediction(outcome: EvaluationResult, face: FaceRef, style: Style) -> str:
    """Return what the outcome says of a face, in a word or two."""
    positions = np.flatnonzero(outcome.shown_rows == face.detection_row)
    if face.detection_row < 0 or not len(positions):
        return "Not shown" if face.detection_row >= 0 else "Missed"
    return style.title(Label(int(outcome.predicted[positions[0]])))


def _face_box(outcome: EvaluationResult, face: FaceRef) -> np.ndarray:
    scored = outcome.predictions
    if face.detection_row >= 0:
        detected_box: np.ndarray = scored.faces.boxes[face.detection_row]
        return detected_box
    true_box: np.ndarray = scored.ground_truth.faces.boxes[face.ground_truth_row]
    return true_box


def _face_size_px(outcome: EvaluationResult, face: FaceRef) -> float:
    return float(sizes_px(_face_box(outcome, face)[None])[0])


def _crop_html(tuning_set: TuningSet, face: FaceRef, *, blur: bool) -> str:
    """Return the face itself, where its image is at hand, coarse if it must be."""
    images = tuning_set.images
    if images is None:
        return ""

    def encode_crop() -> str:
        try:
            image = images.load_image(face.image_index)
        except (DatasetError, ImageReadError):
            return ""
        scored = tuning_set.predictions
        faces = scored.faces if face.detection_row >= 0 else scored.ground_truth.faces
        row = face.detection_row if face.detection_row >= 0 else face.ground_truth_row
        crop = crop_face(image, faces.boxes[row], CROP_PX)
        jpeg = encode_jpeg(pixelate_image(crop) if blur else crop)
        source = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
        return f'<img src="{source}" alt="The face">'

    return tuning_set.get_cached(("crop", face, blur), encode_crop)


def _location_html(outcome: EvaluationResult, face: FaceRef, style: Style) -> str:
    """Return a drawing of where in its image the face lies.

    As an image: Streamlit removes drawings from HTML.
    """
    scored = outcome.predictions
    ground_truth = scored.ground_truth
    width, height = (int(side) for side in ground_truth.sizes_wh[face.image_index])
    rows = np.flatnonzero(ground_truth.faces.image_indices == face.image_index)
    colour = style.colour_css(_predicted_label(outcome, face))
    other_faces_svg = "".join(
        _rect_svg(
            ground_truth.faces.boxes[row], f'stroke="{GREY}" stroke-opacity=".55"'
        )
        for row in rows
        if row != face.ground_truth_row
    )
    face_svg = ""
    if face.ground_truth_row >= 0:
        dashed = f'stroke="{GREY}" stroke-dasharray="4 3" stroke-width="2"'
        face_svg += _rect_svg(ground_truth.faces.boxes[face.ground_truth_row], dashed)
    if face.detection_row >= 0:
        solid = f'stroke="{colour}" stroke-width="2.5"'
        face_svg += _rect_svg(scored.faces.boxes[face.detection_row], solid)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">{other_faces_svg}{face_svg}</svg>'
    )
    source = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    return f'<img src="{source}" alt="Where it lies in the image">'


def _predicted_label(outcome: EvaluationResult, face: FaceRef) -> Label:
    positions = np.flatnonzero(outcome.shown_rows == face.detection_row)
    return (
        Label(int(outcome.predicted[positions[0]])) if len(positions) else Label.UNKNOWN
    )


def _rect_svg(box: np.ndarray, attributes: str) -> str:
    x1, y1, x2, y2 = (float(coordinate) for coordinate in box)
    return (
        f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{max(0.0, x2 - x1):.1f}" '
        f'height="{max(0.0, y2 - y1):.1f}" fill="none" '
        f'vector-effect="non-scaling-stroke" {attributes}/>'
    )


def _bar_html(name: str, prob: float, colour: str) -> str:
    return (
        f"{_row_html(name, html.escape(format_percent(prob)))}"
        f'<div class="bar"><i style="width:{100 * prob:.0f}%;'
        f'background:{colour}"></i></div>'
    )


def _row_html(name: str, value: str) -> str:
    return f"<p><span>{name}</span><span>{value}</span></p>"


_CARDS_STEP = 12
"""Cards that are shown at first, and by each further click."""

_LAST, _NEAREST, _CELL = "The last move", "Nearest to changing", "A cell"
_SHOWN_KEY = "tune.shown"

_SETTING_TITLES = {
    "min_score": "face score",
    "min_confidence": "confidence",
    "min_face_px": "size",
    "nms_iou": "overlap",
}


def render_confusion(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the matrix, and the faces of a cell or of the last move."""
    outcome = tuning_set.evaluate(state.sliders)
    st.caption(
        "Each row is what is true, each column what was said. Blue is right, orange "
        "wrong. **Click a cell** to see its faces."
    )
    st.vega_lite_chart(
        tuning_confusion_chart(outcome, state.cell, style),
        key="tune.matrix",
        on_select=lambda: _on_matrix_click(state),
        selection_mode=CLICK_SELECTION,
        alt="Confusion matrix: what is true by what was said",
    )
    _render_gallery(state, tuning_set, outcome, style)


def _on_matrix_click(state: TuneState) -> None:
    selection = st.session_state["tune.matrix"]["selection"].get(CLICK_SELECTION) or []
    if selection:
        state.cell = int(selection[0]["row"]), int(selection[0]["column"])
        st.session_state["tune.cell"] = state.cell
        st.session_state[_SHOWN_KEY] = _CELL
        state.n_cards = _CARDS_STEP


def _render_gallery(
    state: TuneState, tuning_set: TuningSet, outcome: EvaluationResult, style: Style
) -> None:
    st.subheader("Faces", divider="gray")
    # A click on the matrix sets it too, so it has no other source of its value.
    st.session_state.setdefault(_SHOWN_KEY, _LAST)
    shown = st.segmented_control(
        "Which faces",
        (_LAST, _NEAREST, _CELL),
        required=True,
        label_visibility="collapsed",
        key=_SHOWN_KEY,
        on_change=_reset_card_count,
        args=(state,),
        persist_state="session",
    )
    if shown == _LAST:
        cards = _list_last_changes(state, tuning_set, outcome, style)
    elif shown == _NEAREST:
        cards = _list_near_misses(tuning_set, outcome)
    else:
        cards = _list_cell_faces(state, outcome, style)
    if not cards:
        return
    blur = session.get_preferences().style.blur
    st.html(
        face_cards_html(tuning_set, outcome, cards[: state.n_cards], style, blur=blur)
    )
    if len(cards) > state.n_cards:
        st.button(
            f"Show more (of {len(cards):,})",
            icon=":material/expand_more:",
            on_click=_show_more,
            args=(state,),
            key="tune.more",
        )


def _reset_card_count(state: TuneState) -> None:
    state.n_cards = _CARDS_STEP


def _show_more(state: TuneState) -> None:
    state.n_cards += _CARDS_STEP


def _list_last_changes(
    state: TuneState, tuning_set: TuningSet, outcome: EvaluationResult, style: Style
) -> list[FaceCard]:
    """Return the faces that changed, and say how many for the better."""
    if state.previous is None:
        st.info(
            "Move a slider: the faces that it flips appear here, the nearest first.",
            icon=":material/swipe:",
        )
        return _list_near_misses(tuning_set, outcome)
    before = state.previous
    changes: tuple[DecisionChange, ...] = tuning_set.get_cached(
        ("flips", before, state.sliders),
        lambda: find_decision_changes(tuning_set.evaluate(before), outcome),
    )
    better = sum(change.better is True for change in changes)
    worse = sum(change.better is False for change in changes)
    if not changes:
        st.caption("The last move changed no face.")
    else:
        st.caption(
            f"The last move flipped **{len(changes):,}** faces: {better:,} for the "
            f"better, {worse:,} for the worse. Those nearest to the threshold first."
        )
    return [FaceCard(change.face, _change_note(change, style)) for change in changes]


def _change_note(change: DecisionChange, style: Style) -> str:
    change_titles = {True: "Better", False: "Worse", None: "Neither better nor worse"}
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
    st.caption("Mistakes that the smallest move of one slider would mend.")
    near_misses: Sequence[NearMiss] = tuning_set.get_cached(
        ("nearest", outcome.settings, outcome.min_iou, outcome.temperature),
        lambda: find_near_misses(outcome),
    )
    if not near_misses:
        st.caption("There is none.")
    return [
        FaceCard(near_miss.face, _near_miss_note(near_miss))
        for near_miss in near_misses
    ]


def _near_miss_note(near_miss: NearMiss) -> str:
    name = _SETTING_TITLES.get(near_miss.setting, near_miss.setting)
    if near_miss.setting == "min_face_px":
        return f"Its {name} is {near_miss.value:.0f} px, the slider at {near_miss.threshold:.0f}"
    return (
        f"Its {name} is {near_miss.value:.2f}, the slider at {near_miss.threshold:.2f}"
    )


def _list_cell_faces(
    state: TuneState, outcome: EvaluationResult, style: Style
) -> list[FaceCard]:
    """Return the faces of a cell; it can be chosen without a mouse too."""
    cells = [
        (row, column)
        for row in range(len(ACTUAL_KEYS))
        for column in range(len(PREDICTED_KEYS))
        if (row, column) != (NO_FACE, MISSED)
    ]
    if state.cell is None:
        state.cell = 1, MISSED
    if st.session_state.get("tune.cell") != state.cell:
        st.session_state["tune.cell"] = state.cell
    st.selectbox(
        "Cell",
        cells,
        format_func=lambda cell: _format_cell(outcome, cell, style),
        key="tune.cell",
        on_change=lambda: _on_cell_select(state),
        label_visibility="collapsed",
    )
    face_refs = outcome.faces_in_cell(*state.cell)
    if not face_refs:
        st.caption("There is no face in this cell.")
    return [FaceCard(face_ref) for face_ref in face_refs]


def _on_cell_select(state: TuneState) -> None:
    state.cell = st.session_state["tune.cell"]
    state.n_cards = _CARDS_STEP


def _format_cell(outcome: EvaluationResult, cell: tuple[int, int], style: Style) -> str:
    row, column = cell
    count = int(outcome.confusion[row, column])
    actual = actual_titles(style)[row]
    if column == MISSED:
        return f"{actual}: missed ({count:,})"
    return f"{actual}: said “{predicted_titles(style)[column]}” ({count:,})"
