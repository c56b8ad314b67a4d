"""Live frames that fail while blur is on, without a browser."""

from __future__ import annotations

import asyncio

import av
import numpy as np

from maskdet.serving.preferences import Preferences
from maskdet.style import Style
from tests.web.live.test_frames import (
    HEIGHT,
    TIME_BASE,
    WIDTH,
    Failing,
    live,
    pixels,
    run_callback,
)

BLURRED = Preferences(mirror=False, style=Style(blur=True))


def test_a_failing_frame_is_pixelated_if_blur_is_on() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3))
    given = av.VideoFrame.from_ndarray(noise.astype(np.uint8), format="bgr24")
    given.pts, given.time_base = 1, TIME_BASE
    state, callback = live(BLURRED, of=Failing(1))
    image = pixels(run_callback(callback, given))
    below = image[40:].reshape(-1, 3)
    assert len(np.unique(below, axis=0)) <= 48
    assert (image[:20] > 200).all(axis=2).sum() > 50  # the error banner
    assert state.get_stats().n_failed == 1


def test_an_unreadable_frame_is_black_if_blur_is_on() -> None:
    class Broken:
        pts, time_base, width, height = 5, TIME_BASE, WIDTH, HEIGHT

        def to_ndarray(self, format):
            raise ValueError("torn")

    state, callback = live(BLURRED)
    (annotated,) = asyncio.run(callback([Broken()]))
    assert annotated.pts == 5
    assert pixels(annotated).shape == (HEIGHT, WIDTH, 3)
    assert not pixels(annotated).any()
    assert state.get_stats().last_error == "ValueError: torn"
