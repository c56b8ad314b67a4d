"""Scripted videos for tests of streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.types import Scene
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace

MASK = (0.95, 0.04, 0.01)
NO_MASK = (0.04, 0.95, 0.01)
LEFT = (40.0, 60.0, 100.0, 130.0)
RIGHT = (200.0, 60.0, 260.0, 130.0)

NOISE = np.random.default_rng(7).integers(0, 255, (240, 320, 3)).astype(np.uint8)
"""An image with texture that optical flow can track."""

Script = Callable[[float], Sequence[ScriptedFace]]


def play_script(
    script: Script,
    seconds: float,
    rate_hz: float = 10,
    settings: Settings | None = None,
) -> dict[float, Scene]:
    """Run a stream over a scripted video; return the scene of each frame time."""
    analyzer = ScriptedAnalyzer(script)
    stream = Stream(analyzer, settings)
    scenes = {}
    for number in range(round(seconds * rate_hz)):
        analyzer.time_s = number / rate_hz
        scenes[round(analyzer.time_s, 3)] = stream.step(NOISE, analyzer.time_s)
    return scenes


def turn_away(time_s: float) -> list[ScriptedFace]:
    """Return a masked face for one second, then nothing."""
    return [ScriptedFace(LEFT, MASK)] if time_s < 1.0 else []
