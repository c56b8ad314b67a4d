"""The metrics beside the live video, as trusted HTML."""

from __future__ import annotations

from html import escape

from maskdet.style import Style, format_percent, line_style
from maskdet.types import CLASSES, Label
from maskdet.web.live.state import LiveStats
from maskdet.web.widgets import STATS_CSS, stat_html
from maskdet.wording import format_count

_DASH = "&ndash;"

_STAGE_TITLES = {
    "read": "Decode",
    "resize": "Resize",
    "detect": "Detect",
    "decode": "Post-process",
    "classify": "Classify",
    "track": "Track",
    "draw": "Draw",
}

_DEFAULT_STAGES = ("read", "detect", "classify", "track", "draw")


def live_stats_html(stats: LiveStats, style: Style) -> str:
    """Return people by label, mask rate, frame rates and latency as HTML.

    Values that are not known yet are shown as dashes.

    Args:
        stats: statistics of the stream.
        style: names and colours of the classes.
    """
    parts = (
        _people_html(stats, style),
        _frame_rates_html(stats),
        _stage_times_html(stats),
    )
    return f'{STATS_CSS}<div class="maskdet-live">{"".join(parts)}</div>'


def _people_html(stats: LiveStats, style: Style) -> str:
    # The current counts are only known if a frame was analyzed recently.
    is_current, people = stats.fps_analyzed > 0, stats.people
    cells = "".join(
        stat_html(
            escape(style.title(label)),
            str(people.current[label]) if is_current else _DASH,
            attributes=f'class="label" style="border-left-style:{line_style(label)};'
            f'border-left-color:{style.colour_css(label)}"',
            note=f"{people.total[label]} this session" if stats.has_started else "",
        )
        for label in Label
    )
    n_in_view = f"{sum(people.current.values())}" if is_current else _DASH
    return (
        f"<section><h2>People in view: {n_in_view}</h2><dl>{cells}</dl>"
        f"<small>{_format_total(stats)}</small></section>"
        f"{_mask_rate_html(stats, style)}"
    )


def _format_total(stats: LiveStats) -> str:
    """Format the number of people this session, and of those not facing the camera."""
    if not stats.has_started:
        return ""
    n_people, n_turned_away = sum(stats.people.total.values()), stats.people.turned_away
    line = f"{n_people} {'person' if n_people == 1 else 'people'} this session"
    if n_turned_away and stats.fps_analyzed:
        line += f"; {n_turned_away} not facing the camera (last known label)"
    return line


def _mask_rate_html(stats: LiveStats, style: Style) -> str:
    label_counts = stats.people.current
    n_classified = (
        sum(label_counts[label] for label in CLASSES) if stats.fps_analyzed else 0
    )
    mask_rate = label_counts[Label.MASK] / n_classified if n_classified else 0.0
    mask_rate_text = escape(format_percent(mask_rate)) if n_classified else _DASH
    bar = _bar_html(mask_rate, style.colour_css(Label.MASK))
    return (
        "<section><p><span>Mask rate (unsure excluded)</span>"
        f"<b>{mask_rate_text}</b></p>{bar}</section>"
    )


def _frame_rates_html(stats: LiveStats) -> str:
    rates = {
        "Camera": stats.fps_in,
        "Processed": stats.fps_analyzed,
        "Dropped": stats.fps_skipped,
    }
    cells = "".join(
        stat_html(name, f"{fps:.1f}<small> /s</small>" if stats.has_started else _DASH)
        for name, fps in rates.items()
    )
    dropped_text = (
        f"{format_count(stats.n_skipped, 'frame')} dropped to keep up"
        if stats.has_started
        else ""
    )
    return (
        f'<section><h2>Frame rate</h2><dl class="three">{cells}</dl>'
        f"<small>{dropped_text}</small></section>"
    )


def _stage_times_html(stats: LiveStats) -> str:
    total_ms = sum(stats.stage_ms.values())
    stages = stats.stage_ms or dict.fromkeys(_DEFAULT_STAGES, 0.0)
    rows = "".join(
        f"<p><span>{_STAGE_TITLES.get(stage, stage.capitalize())}</span>"
        f"<span>{_format_ms(ms) if total_ms else _DASH}</span></p>"
        f"{_bar_html(ms / total_ms if total_ms else 0.0)}"
        for stage, ms in stages.items()
    )
    total_text = f"{_format_ms(total_ms)} per frame" if total_ms else _DASH
    total_html = f"<p><b>Total</b><b>{total_text}</b></p>"
    return f"<section><h2>Latency</h2>{rows}{total_html}</section>"


def _bar_html(fraction: float, colour: str = "") -> str:
    background = f";background:{colour}" if colour else ""
    css = f"width:{100 * fraction:.0f}%{background}"
    return f'<div class="bar"><i style="{css}"></i></div>'


def _format_ms(ms: float) -> str:
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
