"""Every page in both themes and at usual widths: axe-core, and nothing cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest

from tests.browser.dashboard import Dashboard, wait_until_idle
from tests.helpers.waiting import wait_until

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
PAGES = ("Live", "Image", "Video", "Tune", "Models", "Events", "About")
WIDTHS_PX = (1920, 1400, 1024, 820, 390)

# Of Streamlit's uploader, which pages cannot change.
LIBRARY_VIOLATIONS = {"presentation-role-conflict": "stFileUploaderDropzone"}

RUN_AXE = """async () => {
  const result = await axe.run(document, {resultTypes: ['violations']});
  return result.violations.map(rule => [rule.id, rule.nodes.map(node => node.html)]);
}"""

# What sticks out of the window to the side, without an own scroll bar; also in the
# shadow trees of components.
FIND_CUT_OFF = """() => {
  const main = document.querySelector('[data-testid=stMain]');
  const width = document.documentElement.clientWidth;
  const list = (root) => [...root.querySelectorAll('*')].flatMap(
    (e) => [e, ...(e.shadowRoot ? list(e.shadowRoot) : [])]);
  const inside = (box) => box.left >= -1 && box.right <= width + 1;
  const parent = (e) => e.parentElement ?? e.getRootNode().host;
  const scrolls = (element) => {
    for (let e = parent(element); e && e !== main; e = parent(e)) {
      const style = getComputedStyle(e);
      const shortens = style.textOverflow === 'ellipsis';
      const bar = ['auto', 'scroll'].includes(style.overflowX) || shortens;
      if (bar && inside(e.getBoundingClientRect())) return true;
    }
    return false;
  };
  return list(main).filter((element) => {
    const box = element.getBoundingClientRect();
    // A drawing clips its own parts.
    return !element.ownerSVGElement
      && box.width > 1 && box.height > 1 && element.checkVisibility()
      && !inside(box) && !scrolls(element);
  }).map((element) => element.outerHTML.slice(0, 120));
}"""


def open_dashboard_page(page: Any, name: str) -> None:
    """Wait until a page is rendered."""
    page.get_by_role("heading", name=name, level=1).wait_for()
    page.locator(
        '[data-testid="stApp"][data-test-script-state="notRunning"]'
    ).wait_for()
    page.locator('[data-testid="stSkeleton"]').first.wait_for(state="detached")
    wait_until_idle(page)


def check_page(page: Any, name: str) -> None:
    """Check an open page in both themes and at all widths."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.reload()
        open_dashboard_page(page, name)
        assert page.title() == f"{name} - maskdet"
        page.evaluate(AXE.read_text("utf-8"))
        for rule, elements in page.evaluate(RUN_AXE):
            known = LIBRARY_VIOLATIONS.get(rule, "no element")
            assert [html for html in elements if known not in html] == [], rule

    for width in WIDTHS_PX:
        page.set_viewport_size({"width": width, "height": 1000})
        # Charts are drawn again a moment after the change.
        wait_until(lambda: page.evaluate(FIND_CUT_OFF) == [], f"a page {width} px wide")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits_every_width(
    open_page: Callable[..., Any], fake_dashboard: Dashboard, name: str
) -> None:
    path = "" if name == "Live" else name.lower()
    check_page(open_page(f"{fake_dashboard.url}{path}"), name)
