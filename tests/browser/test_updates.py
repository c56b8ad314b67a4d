"""The figures beside live video: renewed without a run of the page, and not in vain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskdet.web.server.updates import PATH
from tests.browser.dashboard import (
    Dashboard,
    LivePage,
    wait_until_idle,
    write_camera_video,
)
from tests.helpers.waiting import wait_until

SCRIPT = Path(__file__).resolve().parents[2] / "maskdet/web/live/updates.js"
PART = "[data-part=status]"


@pytest.fixture(scope="module")
def grey_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = np.full((480, 640, 3), 90, np.uint8)
    path = tmp_path_factory.mktemp("video") / "grey.mjpeg"
    return write_camera_video(path, [image] * 30)


def test_figures_change_while_the_page_does_not_run(
    open_page: Callable[..., Any], fake_dashboard: Dashboard, grey_video: Path
) -> None:
    live = LivePage(open_page("about:blank", grey_video))
    messages: list[object] = []

    def listen(socket: Any) -> None:
        socket.on("framereceived", lambda message: messages.append(message))

    live.page.on("websocket", listen)
    live.page.goto(fake_dashboard.url)
    live.start()
    wait_until(lambda: live.read_status() == "Nobody in view", "the first figures")
    assert messages
    wait_until_idle(live.page)
    times = live.page.locator(".times small").last

    def change_alone() -> bool:
        """Return whether the time went on three times without a message."""
        n_messages = len(messages)
        for _ in range(3):
            shown = times.inner_text()
            wait_until(lambda shown=shown: times.inner_text() != shown, "another time")
        return len(messages) == n_messages

    wait_until(change_alone, "figures that need no run of the page")
    live.stop()
    live.page.get_by_role("heading", name="Last run").wait_for()
    wait_until(lambda: live.read_status() == "Not started", "cleared figures")


def test_figures_that_are_not_current_look_so(
    open_page: Callable[..., Any], fake_dashboard: Dashboard, grey_video: Path
) -> None:
    live = LivePage(open_page(fake_dashboard.url, grey_video))
    live.start()
    wait_until(lambda: live.read_status() == "Nobody in view", "the first figures")
    live.page.route(f"**{PATH}*", lambda route: route.abort())
    stale = live.page.locator(f"{PART}.maskdet-stale")
    stale.wait_for()
    live.page.unroute(f"**{PATH}*")
    stale.wait_for(state="detached")


# A page with one component, a server that a test controls, and its own clock.
BEGIN = """async (source) => {
  const url = URL.createObjectURL(new Blob([source], {type: 'text/javascript'}));
  const render = (await import(url)).default;
  const place = document.body.appendChild(document.createElement('div'));
  window.asked = 0;
  window.reports = [];
  window.response = {};
  window.fetch = async () => {
    window.asked += 1;
    if (!window.response) throw new TypeError('no network');
    return {ok: true, json: async () => window.response};
  };
  window.render = (run, html, poll) => {
    window.clean = render({
      data: {run, parts: {status: html}, poll},
      parentElement: place,
      setTriggerValue: (name, value) => window.reports.push([name, value]),
    });
  };
  window.hide = (hidden) => {
    Object.defineProperty(document, 'hidden', {get: () => hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
  };
}"""
POLL = "{url: '/a', while_hidden: false}"


class Component:
    """The component on a page of its own, whose time a test sets."""

    def __init__(self, page: Any) -> None:
        self.page = page
        page.clock.install()
        page.evaluate(BEGIN, SCRIPT.read_text("utf-8"))

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)

    def count_requests(self, seconds: int) -> int:
        """Let the time pass; return the number of requests meanwhile."""
        before = self.run("window.asked")
        for _ in range(seconds):
            self.page.clock.run_for(1000)
        return int(self.run("window.asked") - before)

    def read_text(self) -> str:
        return str(self.page.locator(PART).inner_text())

    def respond(self, run: int, text: str, *, must_run: bool = False) -> None:
        update = {"run": run, "must_run": must_run, "parts": {"status": text}}
        self.page.evaluate("(update) => { window.response = update; }", update)


@pytest.fixture
def component(open_page: Callable[..., Any]) -> Component:
    return Component(open_page("about:blank"))


def test_one_request_a_second_shows_what_is_new(component: Component) -> None:
    component.run(f"render(1, 'first', {POLL})")
    assert component.read_text() == "first"
    assert component.page.get_by_role("status").inner_text() == "first"
    component.respond(1, "second")
    assert component.count_requests(5) == 5
    assert component.read_text() == "second"
    component.run(f"render(2, 'third', {POLL})")
    assert component.read_text() == "third"
    assert component.count_requests(5) == 5
    assert component.read_text() == "third", "an update of an earlier run"
    assert component.run("reports") == []


def test_a_change_of_the_page_is_reported_once(component: Component) -> None:
    component.run(f"render(1, 'first', {POLL})")
    component.respond(1, "first", must_run=True)
    assert component.count_requests(5) == 5
    assert component.run("reports") == [["must_run", 1]]
    component.run(f"render(2, 'second', {POLL})")
    component.count_requests(5)
    assert len(component.run("reports")) == 1, "it is about an earlier run"
    component.respond(2, "second", must_run=True)
    component.count_requests(5)
    assert component.run("reports")[1:] == [["must_run", 2]]


def test_without_a_network_requests_become_rare(component: Component) -> None:
    component.run(f"render(1, 'first', {POLL})")
    component.run("response = null")
    assert component.count_requests(60) <= 6
    stale = component.page.locator(f"{PART}.maskdet-stale")
    assert stale.count() == 1
    component.respond(1, "second")
    assert component.count_requests(30) > 0
    assert stale.count() == 0
    assert component.count_requests(5) == 5


def test_nothing_is_asked_while_hidden_stopped_or_removed(component: Component) -> None:
    component.run(f"render(1, 'first', {POLL})")
    component.respond(1, "first")
    component.run("hide(true)")
    assert component.count_requests(20) == 0
    component.run("hide(false)")
    assert component.count_requests(5) >= 5
    component.run("hide(true)")
    component.run("render(2, 'first', {url: '/a', while_hidden: true})")
    assert component.count_requests(20) == 4, "for a camera that may have to reconnect"
    component.run("hide(false)")
    component.run("render(3, 'first', {url: ''})")
    assert component.count_requests(20) == 0
    component.run(f"render(4, 'first', {POLL})")
    component.run("clean()")
    assert component.count_requests(20) == 0
