"""What becomes of a stream: late, broken off, connected again, given up, stopped."""

from __future__ import annotations

import pytest

from maskdet.web.live.connection import (
    CONNECT_TIMEOUT_S,
    RECONNECT_DELAYS_S,
    STABLE_AFTER_S,
    STALLED_AFTER_S,
    StreamConnection,
    can_use_camera,
)


class Live:
    """A connection, and the browser and the clock that it is told of."""

    def __init__(self) -> None:
        self.connection = StreamConnection()
        self.now_s = self.frame_s = 100.0
        self.pressed = ""

    def tell(
        self, after_s: float = 0.0, *, playing=False, signalling=False, frames=True
    ) -> bool:
        self.now_s += after_s
        if playing and frames:
            self.frame_s = self.now_s
        return self.connection.update(
            playing=playing,
            signalling=signalling,
            last_button=self.pressed,
            last_frame_s=self.frame_s,
            now_s=self.now_s,
        )

    def play(self, seconds: float = 0.0) -> None:
        self.tell(signalling=True)
        self.tell(1, playing=True)
        for _ in range(round(seconds)):
            self.tell(1, playing=True)

    @property
    def phase(self) -> str:
        return self.connection.phase


@pytest.fixture
def live() -> Live:
    return Live()


@pytest.fixture
def started(live: Live) -> Live:
    """Playing, after Start was pressed."""
    live.pressed = "Start"
    live.play(2)
    return live


def test_it_is_late_after_ten_seconds_until_one_stands(live) -> None:
    live.tell()
    live.tell(50, signalling=True)
    assert not live.tell(9, signalling=True)
    assert live.tell(CONNECT_TIMEOUT_S - 9, signalling=True)
    assert live.connection.timed_out
    # The browser gave up: what to do can still be read.
    live.tell(10)
    assert live.connection.timed_out
    live.tell(1, signalling=True)
    assert live.connection.timed_out
    live.tell(1, playing=True)
    assert not live.connection.timed_out


def test_stop_is_no_break(started) -> None:
    started.pressed = "Stop"
    assert started.tell(1)
    assert started.phase == "idle"
    for _ in range(100):
        assert not started.tell(1)
    assert started.connection.desired_playing is None
    assert not started.connection.needs_updates


@pytest.mark.parametrize("pressed", ["Stop", ""])
def test_no_camera_is_started_without_its_visitor(live, pressed) -> None:
    live.pressed = "Start"
    live.play(2)
    live.tell(1)
    assert live.phase == "waiting"
    live.pressed = pressed
    for _ in range(60):
        live.tell(1)
        assert live.connection.desired_playing is not True
    assert live.phase == ("ended" if not pressed else "idle")


def test_where_the_browser_does_not_tell_the_end_is_told(live) -> None:
    live.play(2)
    live.tell(1)
    assert live.phase == "ended"
    live.play()
    assert live.phase == "playing"


def test_a_break_is_told_and_the_browser_is_asked_to_start(started) -> None:
    assert started.tell(1)
    assert (started.phase, started.connection.attempt) == ("waiting", 1)
    assert started.connection.reconnecting
    assert not started.tell(RECONNECT_DELAYS_S[0] / 2)
    assert started.tell(RECONNECT_DELAYS_S[0] / 2)
    assert started.connection.desired_playing is True
    assert started.tell(0.5, signalling=True)
    assert started.connection.desired_playing is None
    assert started.connection.reconnecting
    started.tell(1, playing=True)
    assert not started.connection.reconnecting


def test_attempts_wait_longer_each_time_and_end(started) -> None:
    waited = []
    for _ in RECONNECT_DELAYS_S:
        started.tell(1)
        assert started.phase == "waiting"
        lost_s = started.now_s
        while started.connection.desired_playing is None:
            started.tell(0.5)
        waited.append(started.now_s - lost_s)
        started.tell(0.5, signalling=True)
    assert waited == list(RECONNECT_DELAYS_S)
    started.tell(1)
    assert started.phase == "failed"
    for _ in range(100):
        assert not started.tell(1)
    assert started.connection.desired_playing is None
    started.play()  # Start was pressed again
    started.tell(1)
    assert (started.phase, started.connection.attempt) == ("waiting", 1)


def test_a_browser_that_cannot_start_is_not_asked_for_ever(started) -> None:
    asked = 0
    for _ in range(200):
        started.tell(1)
        asked += started.connection.desired_playing is True
    assert started.phase == "failed"
    assert asked < 4 * len(RECONNECT_DELAYS_S)


def test_attempts_count_anew_after_a_while_of_playing(started) -> None:
    started.tell(1)
    started.play(STABLE_AFTER_S / 2)
    started.tell(1)
    assert started.connection.attempt == 2
    started.play(STABLE_AFTER_S + 1)
    started.tell(1)
    assert started.connection.attempt == 1


def test_an_attempt_that_hangs_is_ended(started) -> None:
    started.tell(1)
    started.tell(RECONNECT_DELAYS_S[0])
    for _ in range(round(2 * CONNECT_TIMEOUT_S)):
        started.tell(1, signalling=True)
    started.tell(1, signalling=True)
    assert started.connection.desired_playing is False
    started.tell(1)
    assert (started.phase, started.connection.attempt) == ("waiting", 2)


def test_a_picture_that_stands_still_is_a_break(started) -> None:
    for _ in range(round(STALLED_AFTER_S) - 1):
        started.tell(1, playing=True, frames=False)
    assert started.phase == "playing"
    started.tell(1, playing=True, frames=False)
    assert started.connection.desired_playing is False
    started.tell(1)
    assert started.phase == "waiting"


def test_what_the_server_cannot_take_begins_anew(live) -> None:
    live.pressed = "Start"
    live.tell(signalling=True)
    live.connection.fail(live.now_s)
    assert live.connection.restarting
    assert live.connection.needs_updates
    live.tell(RECONNECT_DELAYS_S[0] / 2)
    assert live.connection.restarting, "so that the browser forgets the old one"
    assert live.tell(RECONNECT_DELAYS_S[0] / 2)
    assert not live.connection.restarting
    assert live.connection.desired_playing is True


@pytest.mark.parametrize("pressed", ["Stop", ""])
def test_what_the_server_cannot_take_is_shown_again_in_any_case(live, pressed) -> None:
    live.pressed = pressed
    live.tell(signalling=True)
    live.connection.fail(live.now_s)
    assert live.tell(RECONNECT_DELAYS_S[0])
    assert not live.connection.restarting
    assert live.connection.desired_playing is None


def test_a_server_that_can_take_nothing_is_given_up(live) -> None:
    live.pressed = "Start"
    for _ in range(100):
        live.tell(0.5, signalling=not live.connection.restarting)
        if live.phase == "connecting":
            live.connection.fail(live.now_s)
        if live.phase == "failed":
            break
    assert live.phase == "failed"
    live.tell(RECONNECT_DELAYS_S[0])
    assert not live.connection.restarting


def test_a_visitor_may_cancel(started) -> None:
    started.tell(1)
    started.connection.cancel()
    for _ in range(50):
        assert not started.tell(1)
    assert started.phase == "idle"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://localhost:8501/", True),
        ("http://127.0.0.1:8501/", True),
        ("http://[::1]:8501/", True),
        ("https://masks.example.org/", True),
        ("", True),
        ("http://192.168.1.7:8501/", False),
        ("http://localhost.example.org/", False),
    ],
)
def test_browsers_give_the_camera_to_safe_pages_only(url: str, allowed: bool) -> None:
    assert can_use_camera(url) is allowed
