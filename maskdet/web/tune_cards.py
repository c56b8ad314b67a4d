"""Faces of a set as cards: where each lies, what was said of it, and what is true."""

from __future__ import annotations

import dataclasses
import html
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.charts.look import GREY
from maskdet.classifier import crop_face
from maskdet.datasets.archives import DatasetError
from maskdet.drawing import coarse
from maskdet.media import ImageReadError, encode_jpeg
from maskdet.metrics.calibration import with_temperature
from maskdet.style import Style, percent
from maskdet.tune.judging import Hit, Outcome
from maskdet.tune.scored import Numbers
from maskdet.types import CLASSES, Label
from maskdet.web.pictures import CROP_PX
from maskdet.web.results import short_name
from maskdet.web.tune import Material

# Greys come from the text colour, so that the cards suit the light and dark theme.
_STYLE = """<style>
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
class Card:
    """One face to show.

    Attributes:
        hit: the face.
        note: why it is shown, in our own words; empty if that goes without saying.
    """

    hit: Hit
    note: str = ""


def cards_html(
    material: Material,
    outcome: Outcome,
    cards: Iterable[Card],
    style: Style,
    *,
    blur: bool = False,
) -> str:
    """Return the cards as HTML; names of pictures and classes are foreign words."""
    style = dataclasses.replace(style, blur=blur)
    parts = "".join(_card(material, outcome, card, style) for card in cards)
    return f'{_STYLE}<section class="maskdet-hits" aria-label="Faces">{parts}</section>'


def _card(material: Material, outcome: Outcome, card: Card, style: Style) -> str:
    scored, hit = outcome.scored, card.hit
    lines = [f"<b>{_heading(outcome, hit, style)}</b>"]
    if card.note:
        lines.append(f'<p><span class="note">{html.escape(card.note)}</span></p>')
    if hit.found_row >= 0:
        probs = _probs(outcome, hit.found_row)
        lines += [
            _bar(html.escape(style.title(label)), float(prob), style.colour_css(label))
            for label, prob in zip(CLASSES, probs, strict=True)
        ]
        score = float(scored.scores[hit.found_row])
        lines.append(_line("Face score", f"{score:.2f}"))
    name = html.escape(short_name(scored.truth.names[hit.picture]))
    lines.append(_line(f"Picture {name}", f"{_size_px(outcome, hit):.0f} px"))
    face = _crop(material, hit, blur=style.blur)
    seen = face + _place(outcome, hit, style)
    return (
        f'<figure><div class="seen">{seen}</div>'
        f"<figcaption>{''.join(lines)}</figcaption></figure>"
    )


def _heading(outcome: Outcome, hit: Hit, style: Style) -> str:
    truth = "No face"
    if hit.truth_row >= 0:
        label = Label(int(outcome.scored.truth.labels[hit.truth_row]))
        truth = "A face" if label is Label.UNKNOWN else style.title(label)
    words = html.escape(said(outcome, hit, style)), html.escape(truth)
    return "{} <small>· truth: {}</small>".format(*words)


def _probs(outcome: Outcome, row: int) -> Numbers:
    """Return the three probabilities of a face found, also of one that is not shown."""
    probs: Numbers = outcome.scored.probs[row]
    if outcome.temperature == 1:
        return probs
    softer: Numbers = with_temperature(probs[None], outcome.temperature)[0]
    return softer


def said(outcome: Outcome, hit: Hit, style: Style) -> str:
    """Return what the outcome says of a face, in a word or two."""
    place = np.flatnonzero(outcome.shown == hit.found_row)
    if hit.found_row < 0 or not len(place):
        return "Not shown" if hit.found_row >= 0 else "Missed"
    return style.title(Label(int(outcome.said[place[0]])))


def _box(outcome: Outcome, hit: Hit) -> np.ndarray:
    scored = outcome.scored
    if hit.found_row >= 0:
        found: np.ndarray = scored.faces.boxes[hit.found_row]
        return found
    true: np.ndarray = scored.truth.faces.boxes[hit.truth_row]
    return true


def _size_px(outcome: Outcome, hit: Hit) -> float:
    return float(sizes_px(_box(outcome, hit)[None])[0])


def _crop(material: Material, hit: Hit, *, blur: bool) -> str:
    """Return the face itself, where its picture is at hand, coarse if it must be."""
    pictures = material.pictures
    if pictures is None:
        return ""

    def made() -> str:
        try:
            image = pictures.image(hit.picture)
        except (DatasetError, ImageReadError):
            return ""
        scored = material.scored
        faces = scored.faces if hit.found_row >= 0 else scored.truth.faces
        row = hit.found_row if hit.found_row >= 0 else hit.truth_row
        crop = crop_face(image, faces.boxes[row], CROP_PX)
        jpeg = encode_jpeg(coarse(crop) if blur else crop)
        source = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
        return f'<img src="{source}" alt="The face">'

    return material.once(("crop", hit, blur), made)


def _place(outcome: Outcome, hit: Hit, style: Style) -> str:
    """Return a drawing of where in its picture the face lies.

    As an image: Streamlit removes drawings from HTML.
    """
    scored = outcome.scored
    truth = scored.truth
    width, height = (int(side) for side in truth.sizes_wh[hit.picture])
    rows = np.flatnonzero(truth.faces.pictures == hit.picture)
    ink = style.colour_css(_label(outcome, hit))
    others = "".join(
        _rect(truth.faces.boxes[row], f'stroke="{GREY}" stroke-opacity=".55"')
        for row in rows
        if row != hit.truth_row
    )
    mine = ""
    if hit.truth_row >= 0:
        dashed = f'stroke="{GREY}" stroke-dasharray="4 3" stroke-width="2"'
        mine += _rect(truth.faces.boxes[hit.truth_row], dashed)
    if hit.found_row >= 0:
        solid = f'stroke="{ink}" stroke-width="2.5"'
        mine += _rect(scored.faces.boxes[hit.found_row], solid)
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">{others}{mine}</svg>'
    )
    source = f"data:image/svg+xml;base64,{b64encode(drawing.encode()).decode()}"
    return f'<img src="{source}" alt="Where it lies in the picture">'


def _label(outcome: Outcome, hit: Hit) -> Label:
    place = np.flatnonzero(outcome.shown == hit.found_row)
    return Label(int(outcome.said[place[0]])) if len(place) else Label.UNKNOWN


def _rect(box: np.ndarray, attributes: str) -> str:
    x1, y1, x2, y2 = (float(number) for number in box)
    return (
        f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{max(0.0, x2 - x1):.1f}" '
        f'height="{max(0.0, y2 - y1):.1f}" fill="none" '
        f'vector-effect="non-scaling-stroke" {attributes}/>'
    )


def _bar(name: str, prob: float, colour: str) -> str:
    return (
        f"{_line(name, html.escape(percent(prob)))}"
        f'<div class="bar"><i style="width:{100 * prob:.0f}%;'
        f'background:{colour}"></i></div>'
    )


def _line(name: str, value: str) -> str:
    return f"<p><span>{name}</span><span>{value}</span></p>"
