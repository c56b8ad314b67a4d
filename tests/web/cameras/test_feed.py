"""Feeds: one reading for all viewers, reconnecting, and the end without viewers."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from maskdet.alerts.monitor import StreamMonitor
from maskdet.analyzers.pipelines import TwoStage
from maskdet.events import EventDetector
from maskdet.media import (
    CAMERA_REFUSED,
    CameraLoginError,
    VideoInfo,
    VideoReadError,
    read_image,
)
from maskdet.serving.preferences import Preferences
from maskdet.web.cameras import feeds as feeds_module
from maskdet.web.cameras.config import ALWAYS_ANALYZE_VARIABLE, Camera
from maskdet.web.cameras.feed import CameraFeed, FeedFrame
from maskdet.web.cameras.feeds import CameraFeeds
from maskdet.web.cameras.page import build_camera_tile
from maskdet.web.cameras.track import FeedOutlet, FeedTrack
from maskdet.web.live.state import LiveSession, LiveState
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.helpers.mjpeg_camera import run_mjpeg_camera
from tests.helpers.waiting import WAIT_S, wait_until

SECRET = "s3cret-word"


class Source:
    """Frames until it is stopped, or a number of frames until it is lost.

    Of a source in pairs, every second frame has arrived with the one before.
    """

    end_s = 0.0

    def __init__(
        self, n_frames: int | None = None, size_wh=(65, 49), *, in_pairs: bool = False
    ) -> None:
        self.info = VideoInfo(*size_wh)
        self._n_frames, self._size_wh = n_frames, size_wh
        self._in_pairs, self.n_received = in_pairs, 0
        self.stopped = threading.Event()

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        width, height = self._size_wh
        number = 0
        while self._n_frames is None or number < self._n_frames:
            if self.stopped.wait(0.01):
                return
            number += 1
            self.n_received = number + number % 2 if self._in_pairs else number
            yield np.full((height, width, 3), 90, np.uint8), 0.0
        raise VideoReadError("the connection was lost")

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()


class Opener:
    """Opens each source in turn, the last one for ever; an exception is raised."""

    def __init__(self, *sources: Source | Exception) -> None:
        self._sources = list(sources)
        self.n_opened = 0

    def __call__(self) -> Source:
        self.n_opened += 1
        source = self._sources[min(self.n_opened, len(self._sources)) - 1]
        if isinstance(source, Exception):
            raise source
        return source


def make_analyzer() -> TwoStage:
    return TwoStage(FakeDetector(), FakeClassifier())


def make_feed(open_source: Callable[[], Source], **options) -> CameraFeed:
    state = LiveState(Preferences())

    def get_session() -> LiveSession:
        return state.get_or_create_session("fake", make_analyzer())

    defaults = {"linger_s": 0.0, "first_delay_s": 0.01}
    return CameraFeed("Door", open_source, state, get_session, **(defaults | options))


def ignore() -> None:
    pass


def wait_for_frames(feed: CameraFeed, n_frames: int) -> None:
    """Wait for a number of frames after the current one."""
    seen = {feed.frame}

    def has_all() -> bool:
        seen.add(feed.frame)
        return len(seen - {None}) > n_frames

    wait_until(has_all, "more frames")


def test_one_reading_serves_all_viewers_and_ends_with_the_last() -> None:
    source = Source()
    opener = Opener(source)
    feed = make_feed(opener)
    assert feed.status.phase == "stopped"
    counts = {"a": 0, "b": 0}

    def count(name: str) -> Callable[[], None]:
        def on_frame() -> None:
            counts[name] += 1

        return on_frame

    viewers = [count("a"), count("b")]
    for viewer in viewers:
        feed.add_viewer(viewer)
    wait_until(lambda: min(counts.values()) > 2, "frames for both viewers")
    assert opener.n_opened == 1
    assert feed.n_viewers == 2
    assert feed.status.phase == "live"
    assert feed.state.get_stats().has_started
    assert feed.frame is not None
    assert feed.frame.image.shape == (48, 64, 3)  # encoders need even sides
    feed.remove_viewer(viewers[0])
    before = counts["b"]
    wait_until(lambda: counts["b"] > before + 2, "frames for the other viewer")
    assert not source.stopped.is_set()
    feed.remove_viewer(viewers[1])
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")
    assert source.stopped.is_set()
    assert feed.state.active_session is None
    assert feed.state.get_last_run() is not None


def test_a_frame_that_arrives_early_does_not_count_as_dropped(monkeypatch) -> None:
    feed = make_feed(Opener(Source(20, in_pairs=True), VideoReadError("gone")))
    counts: list[int] = []
    monkeypatch.setattr(
        feed, "_show", lambda _, __, n_arrived: counts.append(n_arrived)
    )
    feed.add_viewer(ignore)
    wait_until(lambda: len(counts) == 20, "all frames")
    feed.remove_viewer(ignore)
    assert sum(counts) <= 21


def test_a_feed_starts_again_for_the_next_viewer() -> None:
    opener = Opener(Source(), Source())
    feed = make_feed(opener)
    for number in (1, 2):
        feed.add_viewer(ignore)
        wait_until(lambda: feed.frame is not None, "a frame")
        assert opener.n_opened == number
        feed.remove_viewer(ignore)
        wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_a_visitor_who_comes_back_soon_finds_the_feed_running() -> None:
    opener = Opener(Source())
    feed = make_feed(opener, linger_s=WAIT_S)
    feed.add_viewer(ignore)
    wait_until(lambda: feed.frame is not None, "a frame")
    feed.remove_viewer(ignore)
    wait_for_frames(feed, 3)
    feed.add_viewer(ignore)
    assert opener.n_opened == 1
    feed._linger_s = 0.0
    feed.remove_viewer(ignore)
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_looking_at_single_images_keeps_a_feed_running() -> None:
    feed = make_feed(Opener(Source()), linger_s=WAIT_S)
    feed.request()
    wait_until(lambda: feed.frame is not None, "a frame")
    feed._linger_s = 0.0
    feed.request()
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_a_lost_camera_is_opened_again_and_the_run_goes_on() -> None:
    lost = VideoReadError("no connection to this URL")
    opener = Opener(Source(3), lost, lost, Source(3), Source())
    seen: list[str] = []
    feed = make_feed(opener)
    show_lost = feed._show_lost
    feed._show_lost = lambda status: (seen.append(str(status)), show_lost(status))
    feed.add_viewer(ignore)
    wait_until(lambda: opener.n_opened == 5 and feed.status.phase == "live", "it")
    assert seen == [
        "Not available: the connection was lost; next attempt in 0.01 s",
        "Not available: no connection to this URL; next attempt in 0.02 s",
        "Not available: no connection to this URL; next attempt in 0.04 s",
        "Not available: the connection was lost; next attempt in 0.01 s",
    ]
    session = feed.state.active_session
    wait_for_frames(feed, 3)
    assert feed.state.active_session is session
    feed.remove_viewer(ignore)
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_the_last_frame_of_a_lost_camera_is_shown_as_old() -> None:
    source = Source()
    opener = Opener(source, VideoReadError("gone"))
    feed = make_feed(opener)
    feed.add_viewer(ignore)
    wait_until(lambda: feed.frame is not None, "a frame")
    assert feed.describe_old_frame() == ""
    live = feed.frame.image
    source.stopped.set()
    wait_until(lambda: feed.status.phase == "reconnecting", "the loss")
    feed.state.clock = lambda: feed.state.get_last_frame_s() + 72.3
    assert feed.describe_old_frame() == "last frame 1 min 12 s ago"
    tile = build_camera_tile(feed, Preferences().style)
    assert tile.facts[1] == "Last frame 1 min 12 s ago"
    dark = feed.frame
    assert dark.image.mean() < live.mean() / 2
    wait_until(lambda: opener.n_opened > 2, "another attempt")
    assert feed.frame is dark
    feed.remove_viewer(ignore)
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")
    assert feed.describe_old_frame() == ""


def test_a_camera_that_refuses_the_password_is_tried_three_times_until_retry() -> None:
    refused, lost = CameraLoginError("no"), VideoReadError("lost")
    opener = Opener(refused, lost, refused, refused, refused, Source(2), refused)
    feed = make_feed(opener)
    feed.add_viewer(ignore)
    wait_until(lambda: feed.status.phase == "refused", "the last attempt")
    assert str(feed.status) == f"Not available: {CAMERA_REFUSED}"
    assert opener.n_opened == 4
    # Nor do further viewers make attempts.
    feed.remove_viewer(ignore)
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")
    feed.add_viewer(ignore)
    wait_until(lambda: feed.status.phase == "refused", "the line")
    assert opener.n_opened == 4
    feed.retry()
    wait_until(lambda: opener.n_opened == 5, "one attempt")
    wait_until(lambda: feed.status.phase == "refused", "its refusal")
    feed.retry()
    wait_until(lambda: feed.frame is not None, "a frame")
    wait_until(lambda: feed.status.phase == "refused", "three more refusals")
    assert opener.n_opened == 9
    feed.remove_viewer(ignore)
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


@pytest.mark.parametrize("status", [401, 403])
def test_an_http_camera_may_refuse_the_password(camera_feeds, status) -> None:
    with run_mjpeg_camera([np.full((48, 64, 3), 90, np.uint8)]) as camera:
        camera.refusal = status
        feed = camera_feeds.get(Camera("x", camera.url, is_named=False))
        feed._delay_s = 0.01
        feed.add_viewer(ignore)
        wait_until(lambda: feed.status.phase == "refused", "the refusals")
        assert SECRET not in str(feed.status)
        camera.refusal = None
        feed.retry()
        wait_until(lambda: feed.status.phase == "live", "the camera")
        feed._linger_s = 0.0
        feed.remove_viewer(ignore)
        wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_the_last_viewer_may_leave_while_the_camera_is_gone() -> None:
    feed = make_feed(Opener(VideoReadError("gone")), first_delay_s=WAIT_S)
    feed.add_viewer(ignore)
    wait_until(lambda: feed.status.phase == "reconnecting", "an attempt")
    feed.remove_viewer(ignore)
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_an_unexpected_error_is_logged_without_ending_the_feed(caplog) -> None:
    opener = Opener(KeyError("x"), Source())
    feed = make_feed(opener)
    with caplog.at_level(logging.ERROR):
        feed.add_viewer(ignore)
        wait_until(lambda: feed.status.phase == "live", "the second attempt")
    assert "camera Door failed" in caplog.text
    feed.remove_viewer(ignore)


def test_a_large_frame_is_sent_smaller() -> None:
    feed = make_feed(Opener(Source(size_wh=(2000, 1001))))
    feed.add_viewer(ignore)
    wait_until(lambda: feed.frame is not None, "a frame")
    assert feed.frame.image.shape == (640, 1280, 3)
    assert feed.state.get_snapshot().image.shape == (1001, 2000, 3)
    feed.remove_viewer(ignore)


def test_a_track_sends_new_frames_and_repeats_the_last_one() -> None:
    opener = Opener(Source(2), VideoReadError("gone"))
    is_watched = threading.Event()

    def open_when_watched() -> Source:
        is_watched.wait(WAIT_S)
        return opener()

    feed = make_feed(open_when_watched, first_delay_s=WAIT_S)

    async def receive() -> None:
        track = FeedTrack(feed)
        frames = [await track.recv()]
        is_watched.set()
        frames += [await track.recv() for _ in range(5)]
        assert [frame.pts for frame in frames] == sorted({f.pts for f in frames})
        # Up to the first frame of the camera, a dark image is sent.
        assert (frames[0].width, frames[0].height) == (640, 360)
        assert (frames[-1].width, frames[-1].height) == (64, 48)
        assert feed.n_viewers == 1
        track.stop()
        track.stop()
        assert feed.n_viewers == 0
        with pytest.raises(MediaStreamError):
            await track.recv()

    asyncio.run(receive())
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_an_outlet_ends_the_previous_video_of_a_visitor() -> None:
    feed = make_feed(Opener(Source()))
    outlet = FeedOutlet(feed)
    first = outlet()
    second = outlet()
    assert (first.video.readyState, second.video.readyState) == ("ended", "live")
    assert feed.n_viewers == 1
    outlet.close()
    outlet.close()
    assert feed.n_viewers == 0


@pytest.fixture
def camera_feeds(monkeypatch: pytest.MonkeyPatch) -> CameraFeeds:
    monkeypatch.delenv(ALWAYS_ANALYZE_VARIABLE, raising=False)
    return CameraFeeds(lambda name, preferences: make_analyzer())


def test_one_analysis_however_many_watch_the_same_camera(camera_feeds) -> None:
    image = np.full((48, 64, 3), 90, np.uint8)
    with run_mjpeg_camera([image]) as camera:
        entered = Camera("http://127.0.0.1/stream", camera.url, is_named=False)
        feed = camera_feeds.get(entered)
        assert camera_feeds.get(entered) is feed
        feed.add_viewer(ignore)
        feed.add_viewer(ignore)
        wait_until(lambda: feed.frame is not None, "a frame")
        assert camera.n_opened == 1
        camera.disconnect()
        wait_until(lambda: feed.status.phase == "reconnecting", "the loss")
        assert SECRET not in str(feed.status)
        camera.reconnect()
        wait_until(lambda: feed.status.phase == "live", "the camera to be back")
        assert camera.n_opened >= 2
        feed._linger_s = 0.0
        feed.remove_viewer(ignore)
        feed.remove_viewer(ignore)
        wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_visitors_who_come_at_the_same_time_share_the_feeds(monkeypatch) -> None:
    both = threading.Barrier(2)

    def create_slowly() -> CameraFeeds:
        both.wait(WAIT_S)
        return CameraFeeds()

    monkeypatch.setattr(feeds_module, "CameraFeeds", create_slowly)
    with ThreadPoolExecutor(2) as executor:
        calls = [executor.submit(feeds_module.get_camera_feeds) for _ in range(2)]
    assert calls[0].result() is calls[1].result()


def test_an_entered_camera_is_forgotten_once_no_session_has_it(camera_feeds) -> None:
    entered = Camera("x", "http://127.0.0.1:1/x", is_named=False)
    named = Camera("Door", "http://127.0.0.1:1/y")
    feed, number = camera_feeds.get(entered), camera_feeds.get(named).number
    camera_feeds.get(Camera("z", "http://127.0.0.1:1/z", is_named=False))
    assert camera_feeds.get(entered) is feed
    forgotten = weakref.ref(feed)
    del feed
    gc.collect()
    assert forgotten() is None
    assert camera_feeds.get(named).number == number


@pytest.mark.parametrize("is_named", [True, False])
def test_only_a_named_camera_can_be_recorded(
    camera_feeds, monkeypatch, is_named
) -> None:
    monkeypatch.setattr(feeds_module, "open_camera", lambda url: Source())
    feed = camera_feeds.get(Camera("Door", "http://127.0.0.1:1/y", is_named=is_named))
    feed.add_viewer(ignore)
    wait_until(lambda: feed.frame is not None, "a frame")
    observer = feed.state.active_session._observer
    assert isinstance(observer, StreamMonitor if is_named else EventDetector)
    feed._linger_s = 0.0
    feed.remove_viewer(ignore)
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_another_analyzer_begins_a_new_run_and_settings_act_at_once(
    camera_feeds, monkeypatch
) -> None:
    loaded: list[str] = []

    def load(name: str, preferences: Preferences) -> TwoStage:
        loaded.append(name)
        return make_analyzer()

    monkeypatch.setattr(feeds_module, "open_camera", lambda url: Source())
    shared = CameraFeeds(load).get(Camera("Door", "http://127.0.0.1:1/y"))
    shared.add_viewer(ignore)
    wait_until(lambda: shared.frame is not None, "a frame")
    first = shared.state.active_session
    shared.apply_preferences(Preferences(analyzer="haar", mirror=True))
    assert not shared.state.preferences.mirror
    wait_until(lambda: shared.state.active_session is not first, "another run")
    assert loaded[-1] == "haar"
    assert len(loaded) == 2
    shared._linger_s = 0.0
    shared.remove_viewer(ignore)
    wait_until(lambda: shared.status.phase == "stopped", "the end of the feed")
    assert (shared.frame, shared._analyzer) == (None, None)
    assert (shared.state.get_snapshot(), shared.state.get_last_run()) == (None, None)


def test_named_cameras_can_run_without_viewers(camera_feeds, monkeypatch) -> None:
    monkeypatch.setattr(feeds_module, "open_camera", lambda url: Source())
    camera = Camera("Door", "http://127.0.0.1:1/y")
    camera_feeds.watch([camera])
    assert camera_feeds.get(camera).status.phase == "stopped"
    monkeypatch.setenv(ALWAYS_ANALYZE_VARIABLE, "on")
    feed = camera_feeds.get(camera)
    feed._linger_s = 0.0
    camera_feeds.watch([camera])
    wait_for_frames(feed, 3)
    monkeypatch.delenv(ALWAYS_ANALYZE_VARIABLE)
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_a_tile_shows_the_state_of_a_camera_and_not_its_url(camera_feeds) -> None:
    url = f"http://admin:{SECRET}@127.0.0.1:1/y"
    feed = camera_feeds.get(Camera("Door", url))
    feed._first_delay_s = WAIT_S
    feed.request()
    wait_until(lambda: feed.status.phase == "reconnecting", "an attempt")
    tile = build_camera_tile(feed, Preferences().style)
    assert tile.title == "Door"
    assert not tile.image
    assert tile.facts[0].startswith("Not available: no connection to this URL")
    assert tile.facts[1] == "No alert"
    assert SECRET not in str(tile)
    feed._linger_s = 0.0
    feed.request()
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")


def test_a_tile_of_a_live_camera_counts_people(monkeypatch) -> None:
    source = Source(size_wh=(640, 480))
    monkeypatch.setattr(feeds_module, "open_camera", lambda url: source)
    detector = FakeDetector([[200, 100, 300, 220]], [0.9])
    feeds = CameraFeeds(lambda name, preferences: TwoStage(detector, FakeClassifier()))
    feed, style = feeds.get(Camera("Door", "http://127.0.0.1:1/y")), Preferences().style
    # The means of two seconds would be computed each second for each visitor.
    monkeypatch.setattr(feed.state, "get_stats", None)
    feed.add_viewer(ignore)
    wait_until(lambda: build_camera_tile(feed, style).counts, "a person")
    tile = build_camera_tile(feed, style)
    assert [(count["title"], count["n"]) for count in tile.counts] == [("Mask", 1)]
    assert tile.image.startswith("data:image/jpeg")
    assert (tile.facts[0], tile.phase) == ("Live", "live")
    feed._linger_s = 0.0
    feed.remove_viewer(ignore)
    wait_until(lambda: feed.status.phase == "stopped", "the end of the feed")
    assert not build_camera_tile(feed, style).counts


def test_the_small_image_of_a_frame_is_encoded_once() -> None:
    frame = FeedFrame(np.full((480, 960, 3), 90, np.uint8))
    assert read_image(frame.still).shape == (240, 480, 3)
    assert frame.still is frame.still
