"""Widgets of several pages: face cards, metric tiles, legend, downloads, samples."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Final

import streamlit as st

from maskdet.resources import resource_path
from maskdet.style import Style, format_face_caption, format_percent, line_style
from maskdet.types import CLASSES, Label, Scene
from maskdet.web.image.results import ImageTotals
from maskdet.wording import pluralize

_LABEL_DESCRIPTIONS = {
    Label.MASK: "A mask covers nose, mouth and chin.",
    Label.NO_MASK: "There is no mask on this face.",
    Label.INCORRECT: "There is a mask, but nose, mouth or chin is uncovered.",
    Label.UNKNOWN: "The confidence is below the minimum confidence.",
}

# Greys are derived from the text colour to suit the light and the dark theme.
_CARDS_CSS = """<style>
.maskdet-cards {display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr));}
.maskdet-cards figure {display: flex; gap: .75rem; margin: 0; padding: .6rem;
  border: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  border-radius: .5rem; min-width: 0;}
.maskdet-cards img {width: 88px; height: 88px; border-radius: .25rem; flex: none;}
.maskdet-cards figcaption {flex: 1; min-width: 0; font-size: .8rem; line-height: 1.3;}
.maskdet-cards b {font-size: .9rem; display: flex; align-items: center; gap: .4rem;}
.maskdet-cards b i {width: .7rem; height: .7rem; border-radius: 50%; flex: none;}
.maskdet-cards p {display: flex; justify-content: space-between; margin: .15rem 0 0;
  font-size: inherit;}
.maskdet-cards div {height: 5px; border-radius: 3px; overflow: hidden;
  background: color-mix(in srgb, currentColor 15%, transparent);}
.maskdet-cards div i {display: block; height: 100%;}
</style>"""

_METRICS_CSS = """<style>
.maskdet-metrics dl {display: grid; gap: .5rem; margin: 0; padding: 0;
  grid-template-columns: repeat(auto-fit, minmax(6.2rem, 1fr));}
.maskdet-metrics div {display: flex; flex-direction: column-reverse;
  justify-content: flex-end; padding: .45rem .7rem; border-radius: .5rem;
  border-left: 6px solid transparent;
  background: color-mix(in srgb, currentColor 7%, transparent);}
.maskdet-metrics dt {font-weight: 400; font-size: .875rem; line-height: 1.3;
  opacity: .85;}
.maskdet-metrics dd {margin: 0; font-size: 1.45rem; font-weight: 600;
  line-height: 1.3;}
</style>"""

_LEGEND_CSS = """<style>
.maskdet-legend {display: grid; grid-template-columns: 3.5rem max-content 1fr;
  gap: .5rem 1rem; align-items: center;}
.maskdet-legend i {height: 1.6rem; border-radius: .2rem; border-width: 4px;}
@media (max-width: 640px) {
  .maskdet-legend {grid-template-columns: 3.5rem 1fr; row-gap: .1rem;}
  .maskdet-legend span {grid-column: 2; margin-bottom: .6rem;}}
</style>"""

FileContent = str | bytes | Callable[[], str | bytes]
"""Content of a file; a function is called when the visitor downloads it."""

Download = tuple[str, FileContent, str, str]
"""Title of the button, content, file name, MIME type."""

_SAMPLES_FOLDER: Final = resource_path("samples")

_PORTRAIT_CREDIT: Final = "NASA, Eileen Collins, public domain"

_DRAWN_MASK_CREDIT: Final = f"{_PORTRAIT_CREDIT}; mask drawn by software"

# Greys are derived from the text colour to suit the light and the dark theme.
STATS_CSS = """<style>
.maskdet-live {display: grid; gap: 1.1rem; font-size: .875rem; line-height: 1.35;
  font-variant-numeric: tabular-nums;}
.maskdet-live h3 {font-size: .8rem; font-weight: 600; margin: 0 0 .5rem; padding: 0;
  letter-spacing: .04em; text-transform: uppercase; opacity: .8;}
.maskdet-live dl {display: grid; gap: .5rem; margin: 0; padding: 0;
  grid-template-columns: repeat(2, 1fr);}
.maskdet-live dl.three {grid-template-columns: repeat(3, 1fr); gap: .35rem;}
.maskdet-live dl div {display: flex; flex-direction: column-reverse;
  justify-content: flex-end; padding: .45rem .6rem; border-radius: .5rem;
  background: color-mix(in srgb, currentColor 7%, transparent);}
.maskdet-live dl div.label {border-left: 6px; border-radius: .25rem .5rem .5rem .25rem;}
.maskdet-live dt {font-size: .8rem; font-weight: 400; margin: 0; opacity: .85;}
.maskdet-live dd {margin: 0; font-size: 1.45rem; font-weight: 600; line-height: 1.2;}
.maskdet-live dl.three div {padding: .45rem .4rem;}
.maskdet-live dl.three dd {font-size: 1.15rem; white-space: nowrap;}
.maskdet-live dd.note {order: -1; font-size: .75rem; font-weight: 400; opacity: .85;}
.maskdet-live small {font-size: .75rem; font-weight: 400; opacity: .85;}
.maskdet-live p {display: flex; justify-content: space-between; gap: .5rem;
  margin: 0 0 .15rem; font-size: inherit;}
.maskdet-live .bar {display: block; height: 6px;
  margin: 0 0 .5rem; border-radius: 3px; overflow: hidden;
  background: color-mix(in srgb, currentColor 15%, transparent);}
.maskdet-live .bar i {display: block; height: 100%; border-radius: 3px;
  background: color-mix(in srgb, currentColor 60%, transparent);}
</style>"""


def scene_cards_html(
    scene: Scene,
    crops: Sequence[bytes],
    style: Style,
    *,
    ground_truth: Sequence[Label] = (),
) -> str:
    """Return one card per face as HTML, without any text from uploaded files.

    Args:
        scene: the faces.
        crops: one JPEG per face; with fewer crops, only the first cards are made.
        style: names and colours of the classes.
        ground_truth: the true label of each face, if it is to be shown.
    """
    colours = {label: style.colour_css(label) for label in Label}
    ground_truth_rows = [
        _ground_truth_html(*pair, style)
        for pair in zip(scene.labels, ground_truth, strict=False)
    ]
    ground_truth_rows += [""] * (len(scene) - len(ground_truth_rows))
    columns = scene.labels, scene.likeliest, scene.confidences, scene.probs
    rows = zip(crops, *columns, ground_truth_rows, strict=False)
    cards = [
        _card_html(
            number,
            crop,
            heading=escape(
                format_face_caption(
                    label, float(confidence), _with_all_text(style), likeliest=likeliest
                )
            ),
            colour=colours[label],
            bars=ground_truth_row
            + "".join(
                _prob_bar_html(
                    escape(style.title(column)), float(prob), colours[column]
                )
                for column, prob in zip(CLASSES, probs, strict=True)
            ),
        )
        for number, (
            crop,
            label,
            likeliest,
            confidence,
            probs,
            ground_truth_row,
        ) in enumerate(rows, start=1)
    ]
    attributes = 'class="maskdet-cards" aria-label="Faces"'
    return f"{_CARDS_CSS}<section {attributes}>{''.join(cards)}</section>"


def image_totals_html(image_totals: ImageTotals, style: Style) -> str:
    """Return the counts over all images as HTML tiles."""
    faces = sum(image_totals.label_counts.values())
    metrics = [
        metric_html(pluralize(image_totals.n_images, "Image"), image_totals.n_images),
        metric_html(pluralize(faces, "Face"), faces),
    ]
    for label in Label:
        edge = f"{line_style(label)} {style.colour_css(label)}"
        name = escape(style.title(label))
        metrics.append(metric_html(name, image_totals.label_counts[label], edge=edge))
    metrics.append(
        metric_html("Mask rate (unsure excluded)", image_totals.mask_rate_text)
    )
    metrics.append(metric_html("No face found", image_totals.n_without_face))
    return metrics_html(metrics)


def metrics_html(metrics: Sequence[str]) -> str:
    """Return a responsive row of the tiles that `metric_html` makes."""
    items = f"<dl>{''.join(metrics)}</dl>"
    return f'{_METRICS_CSS}<section class="maskdet-metrics">{items}</section>'


def metric_html(name: str, value: int | str, *, edge: str = "") -> str:
    """Return a tile with a value and its name, as HTML.

    Args:
        name: trusted or escaped HTML.
        value: the value.
        edge: CSS line style and colour of its left edge.
    """
    border = f' style="border-left:6px {edge}"' if edge else ""
    return f"<div{border}><dt>{name}</dt><dd>{value}</dd></div>"


def legend_html(style: Style) -> str:
    """Return the legend of colours and line styles as HTML."""
    rows = [
        f'<i style="border-color:{style.colour_css(label)};'
        f'border-style:{line_style(label)}"></i>'
        f"<b>{escape(style.title(label))}</b><span>{description}</span>"
        for label, description in _LABEL_DESCRIPTIONS.items()
    ]
    return f'{_LEGEND_CSS}<section class="maskdet-legend">{"".join(rows)}</section>'


def _card_html(
    number: int, crop: bytes, *, heading: str, colour: str, bars: str
) -> str:
    source = f"data:image/jpeg;base64,{b64encode(crop).decode()}"
    return (
        f'<figure><img src="{source}" alt="Face {number}"><figcaption>'
        f'<b><i style="background:{colour}"></i>{number} · {heading}</b>{bars}'
        "</figcaption></figure>"
    )


def _with_all_text(style: Style) -> Style:
    """Return the style with labels and percentages, which fit on a card."""
    return replace(style, labels=True, percentages=True)


def _ground_truth_html(label: Label, ground_truth: Label, style: Style) -> str:
    outcome = "correct" if label is ground_truth else "wrong"
    name = escape(style.title(ground_truth))
    return f"<p><span>Ground truth: {name}</span><span>{outcome}</span></p>"


def _prob_bar_html(name: str, prob: float, colour: str) -> str:
    return (
        f"<p><span>{name}</span><span>{escape(format_percent(prob))}</span></p>"
        f'<div><i style="width:{100 * prob:.0f}%;background:{colour}"></i></div>'
    )


def escape_markdown(text: str) -> str:
    """Escape `text` for Streamlit's Markdown, so that it is shown literally.

    Links, file names and errors may contain untrusted markup, such as images or URLs.
    Only ASCII punctuation is escaped: before other characters the backslash would show.
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def render_downloads(files: Iterable[Download]) -> None:
    """Render a download button per file; a download does not rerun the page."""
    with st.container(horizontal=True):
        for title, content, name, mime in files:
            st.download_button(
                title,
                content,
                file_name=name,
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
            )


@dataclass(frozen=True)
class Sample:
    """An image or video that is included in the project.

    Attributes:
        title: the name on the page.
        path: the JPEG or MP4 file.
        credit: author and licence; shown with it.
    """

    title: str
    path: Path
    credit: str


IMAGE_SAMPLES: Final[tuple[Sample, ...]] = (
    Sample("Group", _SAMPLES_FOLDER / "group.jpg", _DRAWN_MASK_CREDIT),
    Sample("Mask", _SAMPLES_FOLDER / "portrait-mask.jpg", _DRAWN_MASK_CREDIT),
    Sample("No mask", _SAMPLES_FOLDER / "portrait-bare.jpg", _PORTRAIT_CREDIT),
    Sample(
        "Mask below the nose",
        _SAMPLES_FOLDER / "portrait-below-nose.jpg",
        _DRAWN_MASK_CREDIT,
    ),
)
"""The image samples, in the order of the page."""

VIDEO_SAMPLE: Final = Sample(
    "Video",
    _SAMPLES_FOLDER / "video.mp4",
    f"{_PORTRAIT_CREDIT}; masks, hall and movement drawn by software",
)
"""Twelve seconds with three people; one of them turns away for a while."""


def stat_html(name: str, value: str, attributes: str = "", note: str = "") -> str:
    """Return a value with its name, as HTML for a `dl` inside `.maskdet-live`."""
    note_html = f'<dd class="note">{note}</dd>' if note else ""
    return f"<div {attributes}><dt>{name}</dt><dd>{value}</dd>{note_html}</div>"
