"""Widgets of several pages: face cards, metric tiles, legend, downloads, samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import streamlit as st

from maskdet.html_templates import encode_data_url, render_html
from maskdet.resources import resource_path
from maskdet.style import Style, format_face_caption, format_percent, line_style
from maskdet.types import CLASSES, Label, Scene
from maskdet.video import VideoReport
from maskdet.web.image.results import ImageTotals
from maskdet.wording import join_percent, pluralize

if TYPE_CHECKING:
    from markupsafe import Markup

_LABEL_DESCRIPTIONS = {
    Label.MASK: "A mask covers nose, mouth and chin.",
    Label.NO_MASK: "There is no mask on this face.",
    Label.INCORRECT: "There is a mask, but nose, mouth or chin is uncovered.",
    Label.UNKNOWN: "The confidence is below the minimum confidence.",
}

# Greys are derived from the text colour to suit the light and the dark theme.
_CARDS_TEMPLATE: Final = """<style>
.maskdet-faces {display: grid; gap: .7rem;
  grid-template-columns: repeat(auto-fill, minmax(min(15.5rem, 100%), 1fr));}
.maskdet-faces figure {display: flex; gap: .7rem; margin: 0; padding: .6rem;
  border: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  border-radius: .5rem; min-width: 0;}
.maskdet-faces .images {flex: none; width: 86px; display: flex; flex-direction: column;
  gap: .35rem;}
.maskdet-faces img {width: 86px; max-height: 86px; border-radius: .25rem;
  background: color-mix(in srgb, currentColor 9%, transparent);}
.maskdet-faces figcaption {flex: 1; min-width: 0; font-size: .8rem; line-height: 1.3;}
.maskdet-faces b {font-size: .9rem; display: block;}
.maskdet-faces b i {display: inline-block; width: .7rem; height: .7rem;
  margin-right: .4rem; border-radius: 50%;}
.maskdet-faces p {display: flex; justify-content: space-between; gap: .4rem;
  margin: .15rem 0 0; font-size: inherit;}
.maskdet-faces p span {white-space: nowrap; overflow: hidden; text-overflow: ellipsis;}
.maskdet-faces .bar {height: 5px; border-radius: 3px; overflow: hidden;
  background: color-mix(in srgb, currentColor 15%, transparent);}
.maskdet-faces .bar i {display: block; height: 100%;}
.maskdet-faces .note span {white-space: normal;}
</style>
{% macro row(name, value) %}
<p><span>{{ name }}</span>
{%- if value %}<span>{{ value }}</span>{% endif %}</p>
{% endmacro %}
<section class="maskdet-faces" aria-label="Faces">
{% for card in cards %}
<figure><div class="images">
{% for source, text in card.images %}<img src="{{ source }}" alt="{{ text }}">
{% endfor %}
</div><figcaption>
<b>{% if card.colour %}<i style="background:{{ card.colour }}"></i>{% endif %}
{{- card.title }}
{%- if card.actual %} <small>· actual: {{ card.actual }}</small>{% endif %}</b>
<div class="note">{% if card.note[0] %}{{ row(*card.note) }}{% endif %}</div>
{% for bar in card.bars %}
{{ row(bar.title, bar.percent) }}
<div class="bar"><i style="width:{{ bar.width }};background:{{ bar.colour }}"></i></div>
{% endfor %}
{% for name, value in card.facts %}{{ row(name, value) }}{% endfor %}
</figcaption></figure>
{% endfor %}
</section>"""

_METRICS_TEMPLATE: Final = """<style>
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
.maskdet-metrics small {font-size: .8rem; font-weight: 400;}
</style>
<section class="maskdet-metrics"><dl>
{% for tile in tiles %}
<div{% if tile.edge %} style="border-left:6px {{ tile.edge }}"{% endif %}>
<dt>{{ tile.name }}</dt>
{%- if tile.note %}<dd>{{ tile.value }} <small>{{ tile.note }}</small></dd>
{%- else %}<dd>{{ tile.value }}</dd>
{%- endif %}
</div>
{% endfor %}
</dl></section>"""

_LEGEND_TEMPLATE: Final = """<style>
.maskdet-legend {display: grid; grid-template-columns: 3.5rem max-content 1fr;
  gap: .5rem 1rem; align-items: center;}
.maskdet-legend i {height: 1.6rem; border-radius: .2rem; border-width: 4px;}
@media (max-width: 640px) {
  .maskdet-legend {grid-template-columns: 3.5rem 1fr; row-gap: .1rem;}
  .maskdet-legend span {grid-column: 2; margin-bottom: .6rem;}}
</style>
<section class="maskdet-legend">
{% for colour, line, title, description in rows %}
<i style="border-color:{{ colour }};border-style:{{ line }}"></i>
<b>{{ title }}</b><span>{{ description }}</span>
{% endfor %}
</section>"""

FileContent = str | bytes | Callable[[], str | bytes]
"""Content of a file; a function is called when the visitor downloads it."""

Download = tuple[str, FileContent, str, str]
"""Title of the button, content, file name, MIME type."""

_Option = TypeVar("_Option")

_SAMPLES_FOLDER: Final = resource_path("samples")

_PORTRAIT_CREDIT: Final = "NASA, Eileen Collins, public domain"

_DRAWN_MASK_CREDIT: Final = f"{_PORTRAIT_CREDIT}; mask drawn by software"

# Greys are derived from the text colour to suit the light and the dark theme.
STATS_CSS = """<style>
.maskdet-live, .maskdet-live section {min-width: 0;}
.maskdet-live {display: grid; gap: 1.1rem; font-size: .875rem; line-height: 1.35;
  font-variant-numeric: tabular-nums;}
.maskdet-live h2 {font-size: .8rem; font-weight: 600; margin: 0 0 .5rem; padding: 0;
  letter-spacing: .04em; text-transform: uppercase; opacity: .8;}
.maskdet-live dl {display: grid; gap: .5rem; margin: 0; padding: 0;
  grid-template-columns: repeat(auto-fit, minmax(6rem, 1fr));}
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
) -> Markup:
    """Return one card per face as HTML, without any text from uploaded files.

    Args:
        scene: the faces.
        crops: one JPEG per face; with fewer crops, only the first cards are made.
        style: names and colours of the classes.
        ground_truth: the true label of each face, if it is to be shown.
    """
    # Labels and percentages fit on a card.
    caption_style = replace(style, labels=True, percentages=True)
    columns = scene.labels, scene.likeliest, scene.confidences, scene.probs
    cards = []
    for number, (crop, label, likeliest, confidence, probs, true_label) in enumerate(
        zip(crops, *columns, chain(ground_truth, repeat(None)), strict=False), start=1
    ):
        caption = format_face_caption(
            label, float(confidence), caption_style, likeliest=likeliest
        )
        note = ("", "")
        if true_label is not None:
            outcome = "correct" if label is true_label else "wrong"
            note = f"Ground truth: {style.title(true_label)}", outcome
        cards.append(
            {
                "images": [(encode_data_url(crop), f"Face {number}")],
                "colour": style.colour_css(label),
                "title": f"{number} · {caption}",
                "actual": "",
                "note": note,
                "bars": prob_bars(probs, style),
                "facts": (),
            }
        )
    return face_cards_html(cards)


def face_cards_html(cards: Iterable[Mapping[str, object]]) -> Markup:
    """Return cards of faces as HTML.

    Args:
        cards: of each card `images` (source and alternative text), `colour` of its
            dot, `title`, `actual` class, `note` (a line and its value), `bars` of
            `prob_bars`, and `facts` (more lines with their values). Where there is
            nothing to show, texts are empty.
    """
    return render_html(_CARDS_TEMPLATE, cards=cards)


def prob_bars(probs: Iterable[float], style: Style) -> list[dict[str, str]]:
    """Return a bar for each class: its title, percentage, CSS width and colour."""
    return [
        {
            "title": style.title(label),
            "percent": format_percent(float(prob)),
            "width": f"{100 * prob:.0f}%",
            "colour": style.colour_css(label),
        }
        for label, prob in zip(CLASSES, probs, strict=True)
    ]


class MetricTile(NamedTuple):
    """A value with its name.

    Attributes:
        name: of the value.
        value: the value.
        edge: CSS line style and colour of the left edge.
        note: shown beside the value in small type.
    """

    name: str
    value: int | str
    edge: str = ""
    note: str = ""


def label_tile(label: Label, value: int | str, style: Style) -> MetricTile:
    """Return a tile with the name, line style and colour of a label."""
    edge = f"{line_style(label)} {style.colour_css(label)}"
    return MetricTile(style.title(label), value, edge)


def metrics_html(tiles: Iterable[MetricTile]) -> Markup:
    """Return a responsive row of tiles as HTML."""
    return render_html(_METRICS_TEMPLATE, tiles=tiles)


def image_totals_html(image_totals: ImageTotals, style: Style) -> Markup:
    """Return the counts over all images as HTML tiles."""
    n_images, counts = image_totals.n_images, image_totals.label_counts
    n_faces = sum(counts.values())
    return metrics_html(
        [
            MetricTile(pluralize(n_images, "Image"), n_images),
            MetricTile(pluralize(n_faces, "Face"), n_faces),
            *(label_tile(label, counts[label], style) for label in Label),
            MetricTile("Mask rate (unsure excluded)", image_totals.mask_rate_text),
            MetricTile("No face detected", image_totals.n_without_face),
        ]
    )


def list_report_tiles(
    report: VideoReport, style: Style, *, has_distances: bool
) -> list[MetricTile]:
    """Return people by class, mask rate and contacts of a video or a run as tiles.

    Args:
        report: the result.
        style: names and colours of the classes.
        has_distances: whether distances were measured.
    """
    counts, n_contacts, mask_rate = (
        report.label_counts,
        report.n_contacts,
        report.mask_rate,
    )
    tiles = [
        MetricTile(pluralize(report.n_people, "Person", "People"), report.n_people),
        *(label_tile(label, counts[label], style) for label in Label),
        MetricTile(
            "Time masked", "-" if mask_rate is None else format_percent(mask_rate)
        ),
    ]
    if has_distances:
        name = pluralize(n_contacts, "Close contact")
        note = f"{report.n_over_limit} over the limit"
        tiles.append(MetricTile(name, n_contacts, note=note))
    return tiles


def legend_html(style: Style) -> Markup:
    """Return the legend of colours and line styles as HTML."""
    rows = [
        (style.colour_css(label), line_style(label), style.title(label), description)
        for label, description in _LABEL_DESCRIPTIONS.items()
    ]
    return render_html(_LEGEND_TEMPLATE, rows=rows)


def escape_markdown(text: str) -> str:
    """Escape `text` for Streamlit's Markdown, so that it is shown literally.

    Links, file names and errors may contain untrusted markup, such as images or URLs.
    Only ASCII punctuation is escaped: before other characters the backslash would show.
    A percent sign stays on the line of its number.
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", join_percent(text))


def select_segment(
    label: str,
    options: Mapping[_Option, str] | Sequence[_Option],
    *,
    key: str,
    default: _Option | None = None,
    show_label: bool = True,
) -> _Option:
    """Render a row of options, of which one is always selected; return it.

    The selection is kept while the visitor is on another page.

    Args:
        label: name of the choice.
        options: the options, or each option with its title.
        key: key of the widget.
        default: the option that is selected first; by default the first one.
        show_label: whether the name is visible; screen readers always read it.
    """
    titles: Mapping[_Option, str] = options if isinstance(options, Mapping) else {}
    names = list(options)
    return st.segmented_control(
        label,
        names,
        default=names[0] if default is None else default,
        required=True,
        wrap=True,  # else options are cut off on phones in some layouts
        format_func=lambda option: titles.get(option, str(option)),
        label_visibility="visible" if show_label else "collapsed",
        key=key,
        persist_state="session",
    )


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
