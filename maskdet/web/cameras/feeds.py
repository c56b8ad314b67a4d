"""The feeds of this server: one for each camera, shared by all visitors."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakValueDictionary

from maskdet.analyzers.pipelines import Analyzer, resolve_analyzer
from maskdet.events import EventDetector, SceneObserver, StreamInfo
from maskdet.media import LatestFrameSource, ReconnectPolicy, VideoSource, open_video
from maskdet.serving.preferences import Preferences
from maskdet.web import session
from maskdet.web.cameras.config import Camera, are_always_analyzed
from maskdet.web.cameras.feed import CameraFeed
from maskdet.web.cameras.paced_video import PacedVideo
from maskdet.web.events import service
from maskdet.web.live.state import LiveSession, LiveState
from maskdet.web.metrics import ENTERED, CameraMetrics

# The feed itself reconnects, so that it also notices when its last viewer leaves.
_NO_RECONNECT: Final = ReconnectPolicy(timeout_s=0.0)

LoadAnalyzer = Callable[[str, Preferences], Analyzer]


class SharedFeed(CameraFeed):
    """The feed of a network camera; its settings are the same for all viewers.

    Attributes:
        camera: name and URL.
        number: identifies the feed in the browser, in place of its URL.
    """

    def __init__(
        self, camera: Camera, number: int, load_analyzer: LoadAnalyzer
    ) -> None:
        """Create a feed that does not run yet, with the default settings.

        Args:
            camera: name and URL.
            number: see the attribute.
            load_analyzer: see `session.load_private_analyzer`.
        """
        self.camera, self.number = camera, number
        self._load_analyzer = load_analyzer
        self._analyzer: tuple[str, Analyzer] | None = None
        super().__init__(
            camera.name,
            functools.partial(open_camera, camera.url),
            LiveState(
                Preferences(mirror=False),
                is_private=False,
                metrics=CameraMetrics(camera.name if camera.is_named else ENTERED),
            ),
            self._prepare_session,
            is_kept_running=lambda: camera.is_named and are_all_analyzed(),
        )

    def apply_preferences(self, preferences: Preferences) -> None:
        """Use the settings for all viewers, from the next frame on.

        The view of a camera is not mirrored, unlike that of a person's own camera.
        """
        self.state.set_preferences(dataclasses.replace(preferences, mirror=False))

    def _prepare_session(self) -> LiveSession:
        """Return the run; another analyzer is loaded, and begins a new run."""
        preferences = self.state.preferences
        name = resolve_analyzer(preferences.analyzer, live=True)
        key = f"{name} {preferences.classifier} {preferences.refine}"
        if self._analyzer is None or self._analyzer[0] != key:
            self._analyzer = key, self._load_analyzer(name, preferences)
        elif (active := self.state.active_session) is not None:
            return active
        return self.state.get_or_create_session(
            key, self._analyzer[1], self._create_observer()
        )

    def _release(self) -> None:
        self._analyzer = None

    def _create_observer(self) -> SceneObserver:
        """Return what finds the events; those of an entered camera are only shown."""
        clock_s = self.state.clock()
        if self.camera.is_named:
            return service.create_camera_monitor(self.name, clock_s)
        return EventDetector(StreamInfo.now(self.name, clock_s))


class CameraFeeds:
    """All feeds of a server, by the URL of the camera; thread-safe."""

    def __init__(
        self, load_analyzer: LoadAnalyzer = session.load_private_analyzer
    ) -> None:
        """Start without feeds.

        Args:
            load_analyzer: loads the analyzer of a feed, on its thread.
        """
        self._load_analyzer = load_analyzer
        self._lock = threading.Lock()
        self._named: dict[str, SharedFeed] = {}
        self._entered: WeakValueDictionary[str, SharedFeed] = WeakValueDictionary()
        self._n_created = 0

    def get(self, camera: Camera) -> SharedFeed:
        """Return the feed of a camera; it does not run before it has a viewer.

        That of a camera that a visitor entered is forgotten, with its URL, once it
        has stopped and no session keeps it.
        """
        with self._lock:
            feeds = self._named if camera.is_named else self._entered
            feed = feeds.get(camera.url)
            if feed is None:
                self._n_created += 1
                feed = SharedFeed(camera, self._n_created, self._load_analyzer)
                feeds[camera.url] = feed
            return feed

    def watch(self, cameras: Sequence[Camera]) -> None:
        """Start the named cameras if all of them run without viewers."""
        if are_all_analyzed():
            for camera in cameras:
                self.get(camera).request()


def are_all_analyzed() -> bool:
    """Return whether named cameras are analyzed even if nobody watches them.

    They are if the administrator chose so, or their events or alerts are wanted.
    """
    return are_always_analyzed() or service.are_cameras_recorded()


_feeds: Final = CameraFeeds()


def get_camera_feeds() -> CameraFeeds:
    """Return the feeds of this server.

    They exist from the import on: two visitors who come at the same time must not
    create two, as each camera is read once.
    """
    return _feeds


def open_camera(url: str) -> LatestFrameSource:
    """Open a network camera; a video at a URL is played in real time, repeatedly.

    Raises:
        VideoReadError: the camera sends no frames.
    """
    source = open_video(url, reconnect_policy=_NO_RECONNECT)
    if isinstance(source, LatestFrameSource):
        return source
    source.close()
    return play_in_real_time(lambda: open_video(url))


def play_in_real_time(open_source: Callable[[], VideoSource]) -> LatestFrameSource:
    """Return a video as if a camera sent it: in real time, and again from its end on.

    Raises:
        VideoReadError: the video cannot be read.
    """
    return LatestFrameSource(
        lambda: PacedVideo(open_source), reconnect_policy=_NO_RECONNECT
    )
