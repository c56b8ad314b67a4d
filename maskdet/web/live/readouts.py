"""The readouts of live video: status, people, mask rate, events and performance.

They are parts of the page that the browser renews; see `maskdet.web.server.updates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from itertools import groupby
from typing import TYPE_CHECKING, Final

import streamlit as st

from maskdet.events import describe_event
from maskdet.html_templates import encode_data_url, render_html
from maskdet.serving.video_job import format_video_time
from maskdet.style import Style, format_percent, line_style, uncapitalize
from maskdet.types import CLASSES, Label
from maskdet.web.components import load_component, read_css
from maskdet.web.live.history import RECENT_S, LiveHistory
from maskdet.web.live.state import LiveStats
from maskdet.web.server.updates import PublishedRun
from maskdet.web.widgets import STATS_CSS
from maskdet.wording import format_count, pluralize

if TYPE_CHECKING:
    from markupsafe import Markup

_DASH: Final = "\N{EN DASH}"

_FULL_RATE: Final = 0.8
"""With a lower fraction of analyzed frames, the server is too slow."""

_STAGE_TITLES: Final = {
    "read": "Decode",
    "resize": "Resize",
    "detect": "Detect",
    "decode": "Post-process",
    "classify": "Classify",
    "track": "Track",
    "draw": "Draw",
}

_DEFAULT_STAGES: Final = ("read", "detect", "classify", "track", "draw")

_ICONS: Final[dict[Label | None, str]] = {
    Label.MASK: "check_circle",
    Label.NO_MASK: "warning",
    Label.INCORRECT: "error",
    Label.UNKNOWN: "help",
    None: "do_not_disturb_on",
}
"""Names in Streamlit's icon font; None: nobody is in view."""

_FAILURE_TEMPLATE: Final = """{% if text %}<div class="maskdet-failure">
<i aria-hidden="true">error</i><span>{{ text }}</span></div>{% endif %}"""

_STATUS_TEMPLATE: Final = """<div class="maskdet-status"
{%- if edge %} style="border-left-style:{{ edge }};border-left-color:{{ colour }};
background:color-mix(in srgb, {{ colour }} 18%, transparent)"{% endif %}>
<i aria-hidden="true">{{ icon }}</i><span>{{ text }}</span></div>"""

_PEOPLE_TEMPLATE: Final = """<div class="maskdet-live maskdet-readouts">
<section><h2>People in view: {{ n_in_view }}</h2><dl>
{% for tile in tiles %}
<div class="label" style="border-left-style:{{ tile.edge }};border-left-color:
{{- tile.colour }}"><dt>{{ tile.title }}</dt><dd>{{ tile.value }}</dd>
<dd class="note">{{ tile.note }}</dd>
<dd class="spark"><img src="{{ tile.chart }}" alt="{{ tile.range }}"></dd></div>
{% endfor %}
</dl>{% if turned_away %}<small>{{ turned_away }}</small>{% endif %}</section>
<section><p><span>Mask rate (unsure excluded)</span><b>{{ mask_rate }}</b></p>
<div class="rate"><small aria-hidden="true">100 %</small>
<small aria-hidden="true">0 %</small><img src="{{ rate_chart }}" alt="{{ rate_range }}">
</div><p class="times"><small>{{ first_time }}</small>
<small>{{ last_time }}</small></p>
</section></div>"""

_EVENTS_TEMPLATE: Final = """<div class="maskdet-live maskdet-events"><section>
<h2>Events{% if n_alerts %} · {{ n_alerts }}{% endif %}</h2><ol>
{% for row in rows %}
<li{% if row.is_alert %} class="alert"{% endif %}><time>{{ row.time }}</time>
{%- if row.crop %}<img src="{{ row.crop }}" alt="">{% endif %}
<span>{% if row.is_alert %}<i aria-hidden="true">notifications</i><b>Alert</b>
{% endif %}{{ row.text }}</span></li>
{% else %}<li class="none">No events yet.</li>
{% endfor %}
</ol></section></div>"""

_PERFORMANCE_TEMPLATE: Final = """<p class="maskdet-note">{{ line }}</p>
{% if failures %}<p class="maskdet-note">{{ failures }}</p>{% endif %}"""

_DETAILS_TEMPLATE: Final = """<div class="maskdet-live">
<section><h2>Frame rate</h2><dl class="three">
{% for name, rate in rates %}
<div><dt>{{ name }}</dt><dd>{{ rate }}{% if has_started %}<small> /s</small>{% endif %}
</dd></div>
{% endfor %}
</dl></section><section><h2>Latency</h2>
{% for name, time, width in stages %}
<p><span>{{ name }}</span><span>{{ time }}</span></p>
<div class="bar"><i style="width:{{ width }}"></i></div>
{% endfor %}
<p><b>Total</b><b>{{ total }}</b></p></section></div>"""


UPDATES_KEY: Final = "live.updates."
"""Begin of the keys of the components below, which report without the visitor."""

READOUTS: Final = ("failure", "status", "people", "events")

PERFORMANCE: Final = ("performance",)

PERFORMANCE_DETAILS: Final = ("details",)


def render_readouts_css() -> None:
    """Render the look of all parts; call it once a run, before them."""
    st.html(f"{STATS_CSS}<style>{read_css('maskdet.web.live', 'readouts')}</style>")


def render_parts(
    run: PublishedRun,
    names: Sequence[str],
    poll: Mapping[str, object] | None = None,
) -> None:
    """Render some parts, one below the other.

    Args:
        run: what this run of the page has published.
        names: the parts.
        poll: for one component of the page: where it asks for updates of all parts, as
            `url`, and whether also `while_hidden`; the URL is empty if nothing changes.
    """
    parts = {name: run.parts[name] for name in names}
    load_component("maskdet.web.live", "updates", isolate_styles=False)(
        key=f"{UPDATES_KEY}{names[0]}",
        data={"run": run.number, "parts": parts, "poll": poll},
        # The run of the page that follows shows what has changed.
        on_must_run_change=lambda: None,
    )


def make_parts(
    stats: LiveStats,
    style: Style,
    zone: tzinfo,
    *,
    n_viewers: int = 1,
    show_crops: bool = False,
) -> dict[str, Markup]:
    """Return all readouts as HTML by name, from nothing but these arguments.

    Args:
        stats: statistics of the stream.
        style: names and colours of the classes.
        zone: time zone of the visitor, for the times of events.
        n_viewers: number of visitors with live video.
        show_crops: whether to show the faces of events that have one.
    """
    return {
        "failure": failure_html(stats),
        "status": status_html(stats, style),
        "people": live_stats_html(stats, style),
        "events": events_html(stats.history, style, zone, show_crops=show_crops),
        "performance": performance_html(stats, n_viewers),
        "details": performance_details_html(stats),
    }


def failure_html(stats: LiveStats) -> Markup:
    """Return why frames cannot be analyzed at the moment, if so, as HTML."""
    text = f"Frames cannot be analyzed: {stats.last_error}" if stats.is_failing else ""
    return render_html(_FAILURE_TEMPLATE, text=text)


def status_html(stats: LiveStats, style: Style) -> Markup:
    """Return the banner that says in a few words who is in view, as HTML."""
    text, label = describe_status(stats, style)
    return render_html(
        _STATUS_TEMPLATE,
        text=text,
        icon=_ICONS[label],
        edge="" if label is None else line_style(label),
        colour="" if label is None else style.colour_css(label),
    )


def describe_status(stats: LiveStats, style: Style) -> tuple[str, Label | None]:
    """Describe who is in view; return also the class that matters most, or None."""
    if not stats.has_started:
        return "Not started", None
    if not stats.fps_analyzed:
        return "No current image", None
    counts = stats.people.current
    n_masked, n_unsure = counts[Label.MASK], counts[Label.UNKNOWN]
    problems = [label for label in (Label.NO_MASK, Label.INCORRECT) if counts[label]]
    if n_masked and not n_unsure and not problems:
        if Label.MASK.key in style.class_names:
            return f"Everyone: {style.title(Label.MASK)}", Label.MASK
        return "Everyone wears a mask", Label.MASK
    mentioned = problems or [
        label for label in (Label.MASK, Label.UNKNOWN) if counts[label]
    ]
    if not mentioned:
        return "Nobody in view", None
    parts = [_format_people(label, counts[label], style) for label in mentioned]
    return ", ".join(parts), problems[0] if problems else Label.UNKNOWN


def _format_people(label: Label, n: int, style: Style) -> str:
    """Format a number of people: "2 without a mask"; with a custom name, "2 bare"."""
    if label is Label.UNKNOWN or label.key in style.class_names:
        return f"{n} {uncapitalize(style.title(label))}"
    return {
        Label.MASK: f"{n} with a mask",
        Label.NO_MASK: f"{n} without a mask",
        Label.INCORRECT: f"{n} {pluralize(n, 'wears', 'wear')} it incorrectly",
    }[label]


def live_stats_html(stats: LiveStats, style: Style) -> Markup:
    """Return people by label with the last minute, and the mask rate, as HTML.

    Values that are not known yet are shown as dashes, and gaps in the charts.

    Args:
        stats: statistics of the stream.
        style: names and colours of the classes.
    """
    # The current counts are only known if a frame was analyzed recently.
    is_current, people = stats.fps_analyzed > 0, stats.people
    recent = stats.history.recent_counts
    top = max(1.0, *(n for label in Label for n in recent[label] if n is not None), 0)
    tiles = [
        {
            "title": style.title(label),
            "value": str(people.current[label]) if is_current else _DASH,
            "note": f"{people.total[label]} in total" if stats.has_started else _DASH,
            "edge": line_style(label),
            "colour": style.colour_css(label),
            "chart": _draw_steps(
                _join_seconds(recent[label], top), style.colour_css(label)
            ),
            "range": _describe_recent(recent[label]),
        }
        for label in Label
    ]
    n_turned_away = people.turned_away if is_current else 0
    return render_html(
        _PEOPLE_TEMPLATE,
        n_in_view=sum(people.current.values()) if is_current else _DASH,
        tiles=tiles,
        turned_away=n_turned_away
        and f"{n_turned_away} not facing the camera (last known label)",
        **_list_rate_values(stats, style),
    )


def _join_seconds(
    counts: Sequence[float | None], top: float
) -> Iterator[tuple[float, float, float | None]]:
    """Yield the steps of `_draw_steps`; seconds with the same count are one step."""
    first = 0
    for n, seconds in groupby(counts):
        last = first + len([*seconds])
        yield first / RECENT_S, last / RECENT_S, n and n / top
        first = last


def _list_rate_values(stats: LiveStats, style: Style) -> dict[str, str]:
    """Return the mask rate now and since Start, for the template."""
    counts, timeline = stats.people.current, stats.history.timeline
    n_classified = sum(counts[label] for label in CLASSES) if stats.fps_analyzed else 0
    end_s = timeline[-1].start_s + timeline[-1].length_s if timeline else 1.0
    rates = [time_bin.mask_rate for time_bin in timeline]
    known = [rate for rate in rates if rate is not None]
    return {
        "mask_rate": format_percent(counts[Label.MASK] / n_classified)
        if n_classified
        else _DASH,
        "rate_chart": _draw_steps(
            (
                (
                    time_bin.start_s / end_s,
                    (time_bin.start_s + time_bin.length_s) / end_s,
                    rate,
                )
                for time_bin, rate in zip(timeline, rates, strict=True)
            ),
            style.colour_css(Label.MASK),
        ),
        "rate_range": f"Since Start: {format_percent(min(known))} to "
        f"{format_percent(max(known))}"
        if known
        else "Since Start: not known",
        "first_time": "Start" if timeline else "",
        "last_time": format_video_time(round(end_s)) if timeline else "",
    }


def _draw_steps(steps: Iterable[tuple[float, float, float | None]], colour: str) -> str:
    """Return a step line as the data URL of an SVG.

    Args:
        steps: x of both ends and the height, each from 0 to 1; height None for a gap.
        colour: of the line.
    """
    parts: list[str] = []
    end_x, last_height = -1.0, None
    for first_x, last_x, height in steps:
        is_joined = last_height is not None and abs(first_x - end_x) < 1e-6
        if not is_joined or height != last_height:
            if last_height is not None:
                parts.append(f"H{100 * end_x:.4g}")
            if height is not None:
                y = f"{100 - 100 * height:.3g}"
                parts.append(f"V{y}" if is_joined else f"M{100 * first_x:.4g} {y}")
        end_x, last_height = last_x, height
    if last_height is not None:
        parts.append(f"H{100 * end_x:.4g}")
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -6 100 112" '
        f'preserveAspectRatio="none"><path d="{"".join(parts)}" fill="none" '
        f'stroke="{colour}" stroke-width="2" vector-effect="non-scaling-stroke"/></svg>'
    )
    return encode_data_url(svg.encode(), "image/svg+xml")


def _describe_recent(values: Iterable[float | None]) -> str:
    known = [round(value) for value in values if value is not None]
    if not known:
        return "Last minute: not known"
    return f"Last minute: {min(known)} to {max(known)}"


def events_html(
    history: LiveHistory, style: Style, zone: tzinfo, *, show_crops: bool = False
) -> Markup:
    """Return the last events and alerts, and the number of alerts, as HTML.

    Args:
        history: has the events.
        style: names of the classes.
        zone: time zone of the times.
        show_crops: whether to show the faces of events that have one.
    """
    rows = [
        {
            "time": f"{recent.event.at.astimezone(zone):%H:%M:%S}",
            "text": describe_event(recent.event, style),
            "is_alert": recent.event.kind == "alert",
            "crop": encode_data_url(recent.crop) if show_crops and recent.crop else "",
        }
        for recent in history.events
    ]
    n_alerts = history.n_alerts and format_count(history.n_alerts, "alert")
    return render_html(_EVENTS_TEMPLATE, rows=rows, n_alerts=n_alerts)


def performance_text(stats: LiveStats, n_viewers: int = 1) -> str:
    """Return frame rate, latency and dropped frames in one line.

    If the server is too slow for all viewers, it says how many there are.
    """
    if not stats.has_started:
        return f"{_DASH} fps"
    total_ms = sum(stats.stage_ms.values())
    parts = [f"{stats.fps_analyzed:.0f} fps"]
    if total_ms:
        parts.append(_format_ms(total_ms))
    text = ", ".join([*parts, f"{stats.n_skipped:,} dropped"])
    is_slow = stats.fps_analyzed < _FULL_RATE * stats.fps_in
    viewers = f"; {n_viewers} viewers use this server"
    return f"{text}{viewers if is_slow and n_viewers > 1 else ''}"


def performance_html(stats: LiveStats, n_viewers: int = 1) -> Markup:
    """Return `performance_text`, and the number of failed frames if any, as HTML."""
    failures = (
        f"Frames that could not be analyzed this session: {stats.n_failed}. "
        f"Last error: {stats.last_error}"
    )
    return render_html(
        _PERFORMANCE_TEMPLATE,
        line=performance_text(stats, n_viewers),
        failures=failures if stats.n_failed else "",
    )


def performance_details_html(stats: LiveStats) -> Markup:
    """Return frame rates, and the latency of each stage, as HTML."""
    rates = {
        "Camera": stats.fps_in,
        "Processed": stats.fps_analyzed,
        "Dropped": stats.fps_skipped,
    }
    total_ms = sum(stats.stage_ms.values())
    stages = stats.stage_ms or dict.fromkeys(_DEFAULT_STAGES, 0.0)
    return render_html(
        _DETAILS_TEMPLATE,
        has_started=stats.has_started,
        rates=[
            (name, f"{fps:.1f}" if stats.has_started else _DASH)
            for name, fps in rates.items()
        ],
        stages=[
            (
                _STAGE_TITLES.get(stage, stage.capitalize()),
                _format_ms(ms) if total_ms else _DASH,
                f"{100 * ms / total_ms if total_ms else 0:.0f}%",
            )
            for stage, ms in stages.items()
        ],
        total=f"{_format_ms(total_ms)} per frame" if total_ms else _DASH,
    )


def _format_ms(ms: float) -> str:
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
