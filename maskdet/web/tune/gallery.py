"""The confusion matrix of the Tune page and its gallery of face cards.

A card shows the crop of a face, its position in the image, its class probabilities,
and its predicted and actual class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import streamlit as st

from maskdet.boxes import sizes_px
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
from maskdet.html_templates import encode_data_url, render_html
from maskdet.media import ImageReadError, encode_jpeg
from maskdet.metrics.calibration import apply_temperature
from maskdet.metrics.matching import Float32Array
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
from maskdet.web import session
from maskdet.web.image.cache import CROP_PX
from maskdet.web.image.results import shorten_name
from maskdet.web.tune.tune_state import TuneState, TuningSet
from maskdet.web.widgets import prob_bars

if TYPE_CHECKING:
    from markupsafe import Markup

# Greys derive from the text colour, so that cards suit the light and dark theme.
_CARDS_TEMPLATE: Final = """<style>
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
</style>
<section class="maskdet-faces" aria-label="Faces">
{% for face in faces %}
<figure><div class="images">
{% if face.crop %}<img src="{{ face.crop }}" alt="The face">{% endif %}
<img src="{{ face.location }}" alt="Position in the image">
</div><figcaption>
<b>{{ face.prediction }} <small>· actual: {{ face.actual }}</small></b>
{% if face.note %}<p><span class="note">{{ face.note }}</span></p>{% endif %}
{% for bar in face.bars %}
<p><span>{{ bar.title }}</span><span>{{ bar.percent }}</span></p>
<div class="bar"><i style="width:{{ bar.width }};background:{{ bar.colour }}"></i></div>
{% endfor %}
{% if face.score %}
<p><span>Detection score</span><span>{{ face.score }}</span></p>
{% endif %}
<p><span>Image {{ face.name }}</span><span>{{ face.size_px }} px</span></p>
</figcaption></figure>
{% endfor %}
</section>"""

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
) -> Markup:
    """Return the cards as HTML."""
    faces = [
        {
            "note": card.note,
            "crop": _crop_url(tuning_set, card.face, blur=blur),
            "location": _location_url(outcome, card.face, style),
            **_describe_face(outcome, card.face, style),
        }
        for card in cards
    ]
    return render_html(_CARDS_TEMPLATE, faces=faces)


def _describe_face(
    outcome: EvaluationResult, face: FaceRef, style: Style
) -> dict[str, object]:
    """Return the texts and bars of a card."""
    scored, row = outcome.predictions, face.detection_row
    actual = "No face"
    if face.ground_truth_row >= 0:
        label = Label(int(scored.ground_truth.labels[face.ground_truth_row]))
        actual = "A face" if label is Label.UNKNOWN else style.title(label)
    return {
        "prediction": format_prediction(outcome, face, style),
        "actual": actual,
        "bars": prob_bars(_face_probs(outcome, row), style) if row >= 0 else (),
        "score": f"{scored.scores[row]:.2f}" if row >= 0 else "",
        "name": shorten_name(scored.ground_truth.names[face.image_index]),
        "size_px": f"{_face_size_px(outcome, face):.0f}",
    }


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
        scored = tuning_set.predictions
        faces = scored.faces if face.detection_row >= 0 else scored.ground_truth.faces
        row = face.detection_row if face.detection_row >= 0 else face.ground_truth_row
        crop = crop_face(image, faces.boxes[row], CROP_PX)
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
        colour = style.colour_css(_predicted_label(outcome, face))
        solid = f'stroke="{colour}" stroke-width="2.5"'
        rects.append((scored.faces.boxes[face.detection_row], solid))
    shapes = "".join(_rect_svg(box, attributes) for box, attributes in rects)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">'
        f'<g fill="none" stroke="{GREY}">{shapes}</g></svg>'
    )
    return encode_data_url(svg.encode(), "image/svg+xml")


def _predicted_label(outcome: EvaluationResult, face: FaceRef) -> Label:
    positions = np.flatnonzero(outcome.shown_rows == face.detection_row)
    return (
        Label(int(outcome.predicted[positions[0]])) if len(positions) else Label.UNKNOWN
    )


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
        tuning_confusion_chart(outcome, style, state.cell),
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
    st.header("Faces", divider="gray")
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
