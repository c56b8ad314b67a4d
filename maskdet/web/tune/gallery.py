"""The confusion matrix of the Tune page and its gallery of face cards.

A card shows the crop of a face, its position in the image, its class probabilities,
and its predicted and actual class.
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
from maskdet.evaluation.operating_point import (
    ACTUAL_KEYS,
    MISSED,
    NO_FACE,
    PREDICTED_KEYS,
    EvaluationResult,
    FaceRef,
)
from maskdet.media import ImageReadError, encode_jpeg
from maskdet.metrics.calibration import apply_temperature
from maskdet.metrics.matching import Float32Array
from maskdet.style import Style, format_percent
from maskdet.tuning.decision_changes import (
    DecisionChange,
    NearMiss,
    find_decision_changes,
    find_near_misses,
)
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

# Greys derive from the text colour, so that cards suit the light and dark theme.
_CARDS_CSS = """<style>
.maskdet-faces {display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(15.5rem, 100%), 1fr));}
.maskdet-faces figure {display: flex; gap: .65rem; margin: 0; padding: .55rem;
  border: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  border-radius: .5rem; min-width: 0;}
.maskdet-faces .images {flex: none; width: 84px; display: flex; flex-direction: column;
  gap: .35rem;}
.maskdet-faces img {width: 84px; max-height: 84px; border-radius: .25rem;
  background: color-mix(in srgb, currentColor 9%, transparent);}
.maskdet-faces figcaption {flex: 1; min-width: 0; font-size: .78rem; line-height: 1.3;}
.maskdet-faces b {font-size: .86rem; display: block;}
.maskdet-faces p {display: flex; justify-content: space-between; gap: .4rem;
  margin: .12rem 0 0; font-size: inherit;}
.maskdet-faces p span {white-space: nowrap; overflow: hidden; text-overflow: ellipsis;}
.maskdet-faces .bar {height: 4px; border-radius: 3px; overflow: hidden;
  background: color-mix(in srgb, currentColor 15%, transparent);}
.maskdet-faces .bar i {display: block; height: 100%;}
.maskdet-faces .note {opacity: .85; white-space: normal;}
</style>"""

_CARDS_STEP = 12
"""Cards shown at first, and added by each click on "Show more"."""

_GALLERY_KEY = "tune.gallery"

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


def face_cards_html(
    tuning_set: TuningSet,
    outcome: EvaluationResult,
    cards: Iterable[FaceCard],
    style: Style,
    *,
    blur: bool = False,
) -> str:
    """Return the cards as HTML; names of images and classes are escaped."""
    style = dataclasses.replace(style, blur=blur)
    parts = "".join(_card_html(tuning_set, outcome, card, style) for card in cards)
    section = f'<section class="maskdet-faces" aria-label="Faces">{parts}</section>'
    return f"{_CARDS_CSS}{section}"


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
        rows_html.append(_row_html("Detection score", f"{score:.2f}"))
    name = html.escape(shorten_name(scored.ground_truth.names[face_ref.image_index]))
    rows_html.append(
        _row_html(f"Image {name}", f"{_face_size_px(outcome, face_ref):.0f} px")
    )
    crop_html = _crop_html(tuning_set, face_ref, blur=style.blur)
    images_html = crop_html + _location_html(outcome, face_ref, style)
    return (
        f'<figure><div class="images">{images_html}</div>'
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
    return "{} <small>· actual: {}</small>".format(*texts)


def _face_probs(outcome: EvaluationResult, row: int) -> Float32Array:
    """Return the class probabilities of a detection, whether it is shown or not."""
    probs: Float32Array = outcome.predictions.probs[row]
    if outcome.temperature == 1:
        return probs
    calibrated: Float32Array = apply_temperature(probs[None], outcome.temperature)[0]
    return calibrated


def format_prediction(outcome: EvaluationResult, face: FaceRef, style: Style) -> str:
    """Return the predicted class, "Missed" or "Not shown"."""
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
    """Return the crop of a face as HTML, pixelated if asked for; "" without images."""
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
    """Return a drawing of the position of the face in its image.

    It is an `img`, as Streamlit removes inline SVG from HTML.
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
    return f'<img src="{source}" alt="Position in the image">'


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


_LAST, _NEAREST, _CELL = "Last change", "Borderline", "Selected cell"


def render_confusion(state: TuneState, tuning_set: TuningSet, style: Style) -> None:
    """Show the confusion matrix and a gallery of faces."""
    outcome = tuning_set.evaluate(state.sliders)
    st.caption(
        "Rows: actual class. Columns: predicted class. Blue: correct, orange: wrong. "
        "**Click a cell** to see its faces."
    )
    st.vega_lite_chart(
        tuning_confusion_chart(outcome, state.cell, style),
        key="tune.matrix",
        on_select=lambda: _on_matrix_click(state),
        selection_mode=CLICK_SELECTION,
        alt="Confusion matrix: actual by predicted class",
    )
    _render_gallery(state, tuning_set, outcome, style)


def _on_matrix_click(state: TuneState) -> None:
    selection = st.session_state["tune.matrix"]["selection"].get(CLICK_SELECTION) or []
    if selection:
        state.cell = int(selection[0]["row"]), int(selection[0]["column"])
        st.session_state["tune.cell"] = state.cell
        st.session_state[_GALLERY_KEY] = _CELL
        state.n_cards = _CARDS_STEP


def _render_gallery(
    state: TuneState, tuning_set: TuningSet, outcome: EvaluationResult, style: Style
) -> None:
    st.subheader("Faces", divider="gray")
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
        st.caption("No faces in this cell.")
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
    return f"{actual}: predicted “{predicted_titles(style)[column]}” ({count:,})"
