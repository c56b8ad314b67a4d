"""Local cameras, opened with OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maskdet.media import LatestFrameSource, VideoReadError, cameras, open_video
from tests.media.test_cameras import QUICK


class FakeCapture:
    """Replaces `cv2.VideoCapture`; only camera 3 exists."""

    def __init__(self, number: int) -> None:
        self._left = 7 if number == 3 else 0
        self.released = False

    def grab(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((6, 8, 3), self._left, np.uint8)

    def read(self) -> tuple[bool, np.ndarray | None]:
        return self.retrieve() if self.grab() else (False, None)

    def release(self) -> None:
        self.released = True


def test_a_local_camera_yields_frames(monkeypatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    camera = cameras.Webcam(3, every=2)
    assert (camera.info.width, camera.info.height) == (8, 6)
    assert [int(image[0, 0, 0]) for image, _ in camera] == [4, 2, 0]
    assert camera._capture.released
    source = open_video("3", reconnect_policy=QUICK)
    assert isinstance(source, LatestFrameSource)
    source.close()
    with pytest.raises(VideoReadError, match="there is no camera 5"):
        open_video("5")


def test_a_rotated_camera_is_made_upright(monkeypatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    with cameras.Webcam(3, rotate=270) as camera:
        assert (camera.info.width, camera.info.height) == (6, 8)
        assert next(iter(camera))[0].shape == (8, 6, 3)


def test_a_camera_is_released_however_the_iteration_ends(monkeypatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    partly_read = cameras.Webcam(3)
    frames = iter(partly_read)
    next(frames)
    frames.close()
    assert partly_read._capture.released
    unread = cameras.Webcam(3)
    unread.close()
    assert unread._capture.released

    iterators: list[object] = []
    monkeypatch.setattr(
        LatestFrameSource, "_store_frame", lambda source, image: source._stopped.set()
    )

    class ReferencedWebcam(cameras.Webcam):
        """A camera whose frame iterator is also referenced elsewhere."""

        def __iter__(self):
            iterators.append(super().__iter__())
            return iterators[-1]

    camera = ReferencedWebcam(3)
    LatestFrameSource(lambda: camera).close()
    assert len(iterators) == 1
    assert camera._capture.released
