"""The numbers beside the live picture, as HTML that holds only our own words."""

from __future__ import annotations

from html import escape

from maskdet.style import Style, line_style, percent
from maskdet.types import CLASSES, Label
from maskdet.web.live import Reading

_NONE = "&ndash;"

_STAGES = {
    "read": "Read the frame",
    "resize": "Scale it",
    "find": "Find faces",
    "decode": "Collect faces",
    "label": "Label faces",
    "track": "Follow people",
    "draw": "Draw",
}

_ALWAYS = ("read", "find", "label", "track", "draw")

# Greys come from the text colour, so that the numbers suit the light and dark theme.
LOOK = """<style>
.maskdet-live {display: grid; gap: 1.1rem; font-size: .875rem; line-height: 1.35;
  font-variant-numeric: tabular-nums;}
.maskdet-live h3 {font-size: .8rem; font-weight: 600; margin: 0 0 .5rem; padding: 0;
  letter-spacing: .04em; text-transform: uppercase; opacity: .8;}
.maskdet-live dl {display: grid; gap: .5rem; margin: 0; padding: 0;
  grid-template-columns: repeat(2, 1fr);}
.maskdet-live dl.three {grid-template-columns: repeat(3, 1fr);}
.maskdet-live dl div {display: flex; flex-direction: column-reverse;
  justify-content: flex-end; padding: .45rem .6rem; border-radius: .5rem;
  background: color-mix(in srgb, currentColor 7%, transparent);}
.maskdet-live dl div.label {border-left: 6px; border-radius: .25rem .5rem .5rem .25rem;}
.maskdet-live dt {font-size: .8rem; font-weight: 400; margin: 0; opacity: .85;}
.maskdet-live dd {margin: 0; font-size: 1.45rem; font-weight: 600; line-height: 1.2;}
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


def readings_html(reading: Reading, style: Style) -> str:
    """Return people by label, share masked, rates and times; dashes before Start.

    Args:
        reading: what the stream says of itself.
        style: names and colours of the classes.
    """
    parts = (_people(reading, style), _rates(reading), _times(reading))
    return f'{LOOK}<div class="maskdet-live">{"".join(parts)}</div>'


def _people(reading: Reading, style: Style) -> str:
    # Without a frame analysed just now, nobody knows who is there now.
    known, people = reading.fps_done > 0, reading.people
    cells = "".join(
        cell_html(
            escape(style.title(label)),
            str(people.now[label]) if known else _NONE,
            attributes=f'class="label" style="border-left-style:{line_style(label)};'
            f'border-left-color:{style.colour_css(label)}"',
            note=f"{people.so_far[label]} since Start" if reading.started else "",
        )
        for label in Label
    )
    here = f"{sum(people.now.values())}" if known else _NONE
    return (
        f"<section><h3>People in view: {here}</h3><dl>{cells}</dl>"
        f"<small>{_so_far(reading)}</small></section>{_share(reading, style)}"
    )


def _so_far(reading: Reading) -> str:
    """Return how many there were, and how many turned away, in a line."""
    if not reading.started:
        return ""
    n_people, turned = sum(reading.people.so_far.values()), reading.people.turned
    line = f"{n_people} {'person' if n_people == 1 else 'people'} since Start"
    if turned and reading.fps_done:
        line += f"; {turned} turned away now, with what was last seen"
    return line


def _share(reading: Reading, style: Style) -> str:
    now = reading.people.now
    sure = sum(now[label] for label in CLASSES) if reading.fps_done else 0
    share = now[Label.MASK] / sure if sure else 0.0
    shown = escape(percent(share)) if sure else _NONE
    bar = _bar(share, style.colour_css(Label.MASK))
    return (
        "<section><p><span>Share masked, of those that are sure</span>"
        f"<b>{shown}</b></p>{bar}</section>"
    )


def _rates(reading: Reading) -> str:
    rates = {
        "Arrived": reading.fps_in,
        "Analysed": reading.fps_done,
        "Skipped": reading.fps_skipped,
    }
    cells = "".join(
        cell_html(name, f"{fps:.1f}<small> /s</small>" if reading.started else _NONE)
        for name, fps in rates.items()
    )
    total = (
        f"{reading.n_skipped} skipped since Start, to stay current"
        if reading.started
        else ""
    )
    return (
        f'<section><h3>Frames</h3><dl class="three">{cells}</dl>'
        f"<small>{total}</small></section>"
    )


def _times(reading: Reading) -> str:
    total_ms = sum(reading.stage_ms.values())
    stages = reading.stage_ms or dict.fromkeys(_ALWAYS, 0.0)
    rows = "".join(
        f"<p><span>{_STAGES.get(stage, stage.capitalize())}</span>"
        f"<span>{_ms(ms) if total_ms else _NONE}</span></p>"
        f"{_bar(ms / total_ms if total_ms else 0.0)}"
        for stage, ms in stages.items()
    )
    whole = f"{_ms(total_ms)} a frame" if total_ms else _NONE
    return f"<section><h3>Time</h3>{rows}<p><b>Together</b><b>{whole}</b></p></section>"


def cell_html(name: str, value: str, attributes: str = "", note: str = "") -> str:
    """Return a value with its name below, for a `dl` inside `.maskdet-live`."""
    more = f'<dd class="note">{note}</dd>' if note else ""
    return f"<div {attributes}><dt>{name}</dt><dd>{value}</dd>{more}</div>"


def _bar(share: float, colour: str = "") -> str:
    background = f";background:{colour}" if colour else ""
    return (
        f'<div class="bar"><i style="width:{100 * share:.0f}%{background}"></i></div>'
    )


def _ms(ms: float) -> str:
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
