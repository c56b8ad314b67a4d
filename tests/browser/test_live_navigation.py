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
    wait_until_idle(live.page, quiet_s=1.0)
    assert heading.is_visible()
