"""Survey of the dashboard: each page at usual widths, in both themes, and enlarged.

`make_screenshots.py --survey FOLDER` runs it. It writes an image of each whole page and
`index.html`, which shows them side by side, and counts the elements that are cut off.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

from PIL import Image

from tests.browser.dashboard import wait_until_idle
from tests.browser.test_accessibility import FIND_CUT_OFF
from tests.helpers.waiting import wait_until

THEMES: Final = ("light", "dark")
QUALITY: Final = 72
MAX_HEIGHT_PX: Final = 6000
"""Longer pages are cut off below."""

HEADER_PX: Final = 64
"""Height of Streamlit's header, with a margin."""

SETTLE_S: Final = 1.2
"""Charts are drawn again that long after a change of the width."""


class Viewport(NamedTuple):
    """Size of a window.

    Attributes:
        name: in file names and headings.
        width: in CSS pixels.
        height: likewise.
    """

    name: str
    width: int
    height: int


VIEWPORTS: Final = (
    Viewport("1920", 1920, 1080),
    Viewport("1400", 1400, 900),
    Viewport("1024", 1024, 768),
    Viewport("820", 820, 1180),
    Viewport("390", 390, 844),
    # A window of 1400 x 900 pixels at 200 % zoom has so many CSS pixels.
    Viewport("zoom200", 700, 450),
)

State = tuple[str, Callable[[Any], None]]
"""Address of a page, and a function that brings it into the state of the survey."""


def survey(
    open_page: Callable[..., Any], states: Mapping[str, State], folder: Path
) -> int:
    """Write all images and the contact sheet; return the number of cut-off elements.

    Args:
        open_page: opens an address of the dashboard in a window of a size and theme.
        states: by name.
        folder: for the images; made if needed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cut_off: dict[str, list[str]] = {}
    for name, (path, prepare) in states.items():
        for theme in THEMES:
            page = open_page(path, VIEWPORTS[1][1:], theme)
            prepare(page)
            for viewport in VIEWPORTS:
                title = f"{name}-{theme}-{viewport.name}"
                _resize_window(page, viewport)
                cut_off[title] = _find_cut_off(page)
                _save_whole_page(page, viewport, folder / f"{title}.jpg")
            page.context.close()
        counts = {
            title: len(elements)
            for title, elements in cut_off.items()
            if title.startswith(f"{name}-")
        }
        print(
            f"{name}: {sum(counts.values())} elements outside of the page", flush=True
        )
        for title in counts:
            for element in cut_off[title][:3]:
                print(f"  {title}: {element}")
    _write_index(folder, list(states), cut_off)
    print(f"wrote {len(cut_off)} images and {folder / 'index.html'}")
    return sum(map(len, cut_off.values()))


def _resize_window(page: Any, viewport: Viewport) -> None:
    page.set_viewport_size({"width": viewport.width, "height": viewport.height})
    page.wait_for_function(f"() => window.innerWidth === {viewport.width}")
    wait_until_idle(page)
    page.wait_for_timeout(1e3 * SETTLE_S)


def _find_cut_off(page: Any) -> list[str]:
    """Return the elements outside of the page once their number is stable."""
    found: list[list[str]] = [page.evaluate(FIND_CUT_OFF)]

    def is_stable() -> bool:
        page.wait_for_timeout(200)
        found.append(page.evaluate(FIND_CUT_OFF))
        return found[-1] == [] or len(found[-1]) == len(found[-2])

    wait_until(is_stable, "a page that no longer moves")
    return found[-1]


def _save_whole_page(page: Any, viewport: Viewport, target: Path) -> None:
    """Scroll through the page, and write one image of all its parts."""
    main = page.get_by_test_id("stMain")
    height = min(main.evaluate("e => e.scrollHeight"), MAX_HEIGHT_PX)
    whole = Image.new("RGB", (viewport.width, max(height, viewport.height)))
    for top in range(0, max(height - HEADER_PX, 1), viewport.height - HEADER_PX):
        scrolled = main.evaluate(f"e => {{ e.scrollTop = {top}; return e.scrollTop; }}")
        page.wait_for_timeout(150)
        with Image.open(io.BytesIO(page.screenshot())) as part:
            # The header stays on top of a scrolled page.
            hidden_px = HEADER_PX if top else 0
            visible = part.convert("RGB").crop((0, hidden_px, *part.size))
            whole.paste(visible, (0, round(scrolled) + hidden_px))
    main.evaluate("e => { e.scrollTop = 0; }")
    whole.save(target, quality=QUALITY)


def _write_index(
    folder: Path, names: list[str], cut_off: Mapping[str, list[str]]
) -> None:
    """Write the contact sheet."""
    sections = []
    for name in names:
        for theme in THEMES:
            figures = []
            for viewport in VIEWPORTS:
                title = f"{name}-{theme}-{viewport.name}"
                note = f"{viewport.name}: {len(cut_off[title])} outside"
                figures.append(
                    f'<figure><a href="{title}.jpg"><img loading="lazy" '
                    f'src="{title}.jpg" alt="{escape(title)}"></a>'
                    f"<figcaption>{escape(note)}</figcaption></figure>"
                )
            heading = f"<h2>{escape(name)}, {theme}</h2>"
            sections.append(f"{heading}<div>{''.join(figures)}</div>")
    style = (
        "body{font-family:sans-serif;margin:1rem}div{display:flex;gap:1rem;"
        "align-items:flex-start;overflow-x:auto}figure{margin:0}"
        "img{height:420px;border:1px solid #999}"
    )
    (folder / "index.html").write_text(
        f"<!doctype html><meta charset=utf-8><title>Pages</title><style>{style}"
        f"</style><h1>Pages of the dashboard</h1>{''.join(sections)}",
        encoding="utf-8",
    )
