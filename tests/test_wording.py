from __future__ import annotations

import re
from pathlib import Path

import pytest

import maskdet.web
from maskdet.html_templates import render_html
from maskdet.web.widgets import escape_markdown
from maskdet.wording import PERCENT, format_count, format_elapsed


@pytest.mark.parametrize(
    ("n", "words", "text"),
    [
        (0, ("image",), "0 images"),
        (1, ("image",), "1 image"),
        (2, ("image",), "2 images"),
        (1200, ("image",), "1,200 images"),
        (1, ("person", "people"), "1 person"),
        (3, ("person", "people"), "3 people"),
        (1, ("event was", "events were"), "1 event was"),
    ],
)
def test_a_noun_agrees_with_its_number(n, words, text):
    assert format_count(n, *words) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (125, "2 min 5 s"), (12_000, "3 h 20 min")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert format_elapsed(seconds) == text


def test_values_on_pages_stay_on_the_line_of_their_percent_sign():
    html = render_html("<td>{{ a }}</td><td>5 %</td>", a="up to 95 % (90 %)")
    assert html == f"<td>up to 95{PERCENT} (90{PERCENT})</td><td>5{PERCENT}</td>"
    assert escape_markdown("95 % of") == f"95{PERCENT[0]}\\% of"


def test_a_percent_sign_in_running_text_is_on_the_line_of_its_number():
    folder = Path(maskdet.web.__file__).parent
    lines = [
        f"{path.name}: {line.strip()}"
        for path in sorted(folder.rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"[\d}] %,? [a-z]", line.replace('95 % interval"', ""))
        and '"""' not in line
    ]
    assert not lines, "use `maskdet.wording.PERCENT`"
