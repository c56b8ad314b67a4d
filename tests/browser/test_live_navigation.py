"""Leaving the Live page in a real Chromium does not navigate back to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.browser.dashboard import Dashboard, LivePage, wait_until_idle

# A click on another page just before the streamer reports its state.
LEAVE = """name => {
  const links = parent.document.querySelectorAll('[data-testid="stSidebarNavLink"]');
  [...links].find(link => link.textContent.includes(name)).click();
  const value = {playing: false, sdpOffer: "", iceCandidates: {}};
  parent.postMessage({isStreamlitMessage: true, dataType: "json", value,
                      type: "streamlit:setComponentValue"}, "*");
}"""


def test_leaving_the_live_page_does_not_navigate_back(
    open_page: Callable[..., Any], fake_dashboard: Dashboard
) -> None:
    live = LivePage(open_page(fake_dashboard.url))
    live.button("Start").wait_for()
    live.frame.evaluate(LEAVE, "Video")
    heading = live.page.get_by_role("heading", name="Video", exact=True)
    heading.wait_for()
    wait_until_idle(live.page)
    assert heading.is_visible()


def test_the_address_keeps_the_settings_for_a_reload_and_on_other_pages(
    open_page: Callable[..., Any], fake_dashboard: Dashboard
) -> None:
    page = open_page(fake_dashboard.url)
    live = LivePage(page)
    live.button("Start").wait_for()
    wait_until_idle(page)
    live.press_slider_key("Minimum confidence", "End")
    page.wait_for_url("**/?min_confidence=1.0")
    live.open_page("About")
    page.wait_for_url("**/about?min_confidence=1.0")
    page.reload()
    page.get_by_role("heading", name="About", level=1).wait_for()
    # About has no sliders; the next page with one has the value.
    live.open_page("Image")
    slider = page.get_by_role("slider", name="Minimum confidence")
    slider.wait_for()
    assert slider.get_attribute("aria-valuetext") == "1.00"
