"""The phases of a connection: timeout, interruption, reconnect, failure, stop."""

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
    """A connection with a simulated browser and clock."""

    def __init__(self) -> None:
        self.connection = StreamConnection()
        self.now_s = self.frame_s = 100.0
        self.pressed = ""

    def update(
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
        self.update(signalling=True)
        self.update(1, playing=True)
        for _ in range(round(seconds)):
            self.update(1, playing=True)

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


def test_connecting_times_out_after_ten_seconds_until_a_success(live) -> None:
    live.update()
    live.update(50, signalling=True)
    assert not live.update(9, signalling=True)
    assert live.update(CONNECT_TIMEOUT_S - 9, signalling=True)
    assert live.connection.timed_out
    # The browser gave up; the timeout is still reported.
    live.update(10)
    assert live.connection.timed_out
    live.update(1, signalling=True)
    assert live.connection.timed_out
    live.update(1, playing=True)
    assert not live.connection.timed_out


def test_stop_is_not_an_interruption(started) -> None:
    started.pressed = "Stop"
    assert started.update(1)
    assert started.phase == "idle"
    for _ in range(100):
        assert not started.update(1)
    assert started.connection.desired_playing is None
    assert not started.connection.needs_updates


@pytest.mark.parametrize("pressed", ["Stop", ""])
def test_the_camera_does_not_restart_without_the_visitor(live, pressed) -> None:
    live.pressed = "Start"
    live.play(2)
    live.update(1)
    assert live.phase == "waiting"
    live.pressed = pressed
    for _ in range(60):
        live.update(1)
        assert live.connection.desired_playing is not True
    assert live.phase == ("ended" if not pressed else "idle")


def test_a_stream_ends_if_the_last_button_is_unknown(live) -> None:
    live.play(2)
    live.update(1)
    assert live.phase == "ended"
    live.play()
    assert live.phase == "playing"


def test_an_interruption_makes_the_browser_start_again(started) -> None:
    assert started.update(1)
    assert (started.phase, started.connection.attempt) == ("waiting", 1)
    assert started.connection.reconnecting
    assert not started.update(RECONNECT_DELAYS_S[0] / 2)
    assert started.update(RECONNECT_DELAYS_S[0] / 2)
    assert started.connection.desired_playing is True
    assert started.update(0.5, signalling=True)
    assert started.connection.desired_playing is None
    assert started.connection.reconnecting
    started.update(1, playing=True)
    assert not started.connection.reconnecting


def test_delays_grow_until_the_attempts_end(started) -> None:
    waited = []
    for _ in RECONNECT_DELAYS_S:
        started.update(1)
        assert started.phase == "waiting"
        interrupted_s = started.now_s
        while started.connection.desired_playing is None:
            started.update(0.5)
        waited.append(started.now_s - interrupted_s)
        started.update(0.5, signalling=True)
    assert waited == list(RECONNECT_DELAYS_S)
    started.update(1)
    assert started.phase == "failed"
    for _ in range(100):
        assert not started.update(1)
    assert started.connection.desired_playing is None
    started.play()  # Start was pressed again
    started.update(1)
    assert (started.phase, started.connection.attempt) == ("waiting", 1)


def test_a_browser_that_cannot_start_gets_a_limited_number_of_requests(started) -> None:
    n_requests = 0
    for _ in range(200):
        started.update(1)
        n_requests += started.connection.desired_playing is True
    assert started.phase == "failed"
    assert n_requests < 4 * len(RECONNECT_DELAYS_S)


def test_attempts_are_reset_after_stable_playing(started) -> None:
    started.update(1)
    started.play(STABLE_AFTER_S / 2)
    started.update(1)
    assert started.connection.attempt == 2
    started.play(STABLE_AFTER_S + 1)
    started.update(1)
    assert started.connection.attempt == 1


def test_an_attempt_that_hangs_is_stopped(started) -> None:
    started.update(1)
    started.update(RECONNECT_DELAYS_S[0])
    for _ in range(round(2 * CONNECT_TIMEOUT_S)):
        started.update(1, signalling=True)
    started.update(1, signalling=True)
    assert started.connection.desired_playing is False
    started.update(1)
    assert (started.phase, started.connection.attempt) == ("waiting", 2)


def test_a_frozen_video_is_an_interruption(started) -> None:
    for _ in range(round(STALLED_AFTER_S) - 1):
        started.update(1, playing=True, frames=False)
    assert started.phase == "playing"
    started.update(1, playing=True, frames=False)
    assert started.connection.desired_playing is False
    started.update(1)
    assert started.phase == "waiting"


def test_a_failed_start_recreates_the_streamer(live) -> None:
    live.pressed = "Start"
    live.update(signalling=True)
    live.connection.fail(live.now_s)
    assert live.connection.restarting
    assert live.connection.needs_updates
    live.update(RECONNECT_DELAYS_S[0] / 2)
    assert live.connection.restarting, "so that the browser discards the old streamer"
    assert live.update(RECONNECT_DELAYS_S[0] / 2)
    assert not live.connection.restarting
    assert live.connection.desired_playing is True


@pytest.mark.parametrize("pressed", ["Stop", ""])
def test_a_failed_start_always_shows_the_streamer_again(live, pressed) -> None:
    live.pressed = pressed
    live.update(signalling=True)
    live.connection.fail(live.now_s)
    assert live.update(RECONNECT_DELAYS_S[0])
    assert not live.connection.restarting
    assert live.connection.desired_playing is None


def test_repeated_failed_starts_end_the_attempts(live) -> None:
    live.pressed = "Start"
    for _ in range(100):
        live.update(0.5, signalling=not live.connection.restarting)
        if live.phase == "connecting":
            live.connection.fail(live.now_s)
        if live.phase == "failed":
            break
    assert live.phase == "failed"
    live.update(RECONNECT_DELAYS_S[0])
    assert not live.connection.restarting


def test_the_page_can_start_the_browser_in_place_of_the_visitor(live) -> None:
    live.connection.start(live.now_s)
    assert live.connection.desired_playing
    assert live.connection.needs_updates
    # The browser may still load the streamer; that is no interruption.
    live.update(CONNECT_TIMEOUT_S - 1)
    assert (live.phase, live.connection.reconnecting) == ("starting", False)
    live.play(1)
    assert live.phase == "playing"
    assert live.connection.desired_playing is None
    live.update(1)
    assert live.phase == "waiting", "an interruption, as after Start"
    live.pressed = "Stop"
    live.update(1)
    assert live.phase == "idle"
    live.pressed = ""
    live.update(RECONNECT_DELAYS_S[-1])
    assert live.phase == "idle"


def test_a_browser_that_does_not_start_is_asked_again(live) -> None:
    live.connection.start(live.now_s)
    live.update(CONNECT_TIMEOUT_S)
    assert (live.phase, live.connection.attempt) == ("waiting", 1)
    live.connection.cancel()
    live.update(1)
    assert live.phase == "idle"


def test_reconnecting_can_be_cancelled(started) -> None:
    started.update(1)
    started.connection.cancel()
    for _ in range(50):
        assert not started.update(1)
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
def test_only_secure_contexts_can_use_the_camera(url: str, allowed: bool) -> None:
    assert can_use_camera(url) is allowed
