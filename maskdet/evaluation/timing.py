"""Interleaved latency benchmarks: candidates take turns, so noise affects all."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter

from maskdet.analyzers.pipelines import Analyzer
from maskdet.drawing import draw
from maskdet.settings import Settings
from maskdet.types import Image, Scene

TimedFunction = Callable[[Image], Scene]
"""Processes one image; the scene has the times of the stages."""

_WARM_UP_ROUNDS = 3
"""Untimed rounds that allocate memory and fill caches."""


@dataclass(frozen=True, eq=False)
class LatencyStats:
    """Times of one candidate by round.

    Attributes:
        n_faces: number of detected faces.
        total_ms: one time per round.
        stages_ms: the same for each of its stages, in order.
    """

    n_faces: int
    total_ms: tuple[float, ...]
    stages_ms: Mapping[str, tuple[float, ...]]

    @property
    def median_ms(self) -> float:
        """Median time."""
        return statistics.median(self.total_ms)

    @property
    def p95_ms(self) -> float:
        """95 % quantile of the times."""
        return sorted(self.total_ms)[int(0.95 * (len(self.total_ms) - 1))]

    @property
    def median_stages_ms(self) -> dict[str, float]:
        """Median time of each stage."""
        return {
            stage: statistics.median(times) for stage, times in self.stages_ms.items()
        }

    def ratio_to(self, other: LatencyStats) -> float:
        """Return the median over the rounds of the ratio of times to `other`.

        Both ran in the same rounds, so a slow moment of the machine affects both.
        """
        return statistics.median(
            mine / theirs
            for mine, theirs in zip(self.total_ms, other.total_ms, strict=True)
        )


def make_analyze_and_draw(analyzer: Analyzer, settings: Settings) -> TimedFunction:
    """Return a function that detects, classifies and draws, like the dashboard."""

    def analyze_and_draw(image: Image) -> Scene:
        scene = analyzer.analyze(image, settings)
        started = perf_counter()
        draw(image, scene)
        draw_ms = (perf_counter() - started) * 1e3
        return dataclasses.replace(scene, stage_ms={**scene.stage_ms, "draw": draw_ms})

    return analyze_and_draw


def benchmark_interleaved(
    functions: Mapping[str, TimedFunction], image: Image, rounds: Iterable[int]
) -> dict[str, LatencyStats]:
    """Time several functions on one image in turns.

    Args:
        functions: the candidates by name.
        image: the image.
        rounds: the rounds. The first candidate changes from round to round, because a
            large one leaves cold caches for the next.
    """
    faces = {
        name: [function(image) for _ in range(_WARM_UP_ROUNDS)]
        for name, function in functions.items()
    }
    total_ms: dict[str, list[float]] = {name: [] for name in functions}
    stages_ms: dict[str, dict[str, list[float]]] = {name: {} for name in functions}
    names = list(functions)
    for round_index in rounds:
        first = round_index % max(1, len(names))
        for name in names[first:] + names[:first]:
            started = perf_counter()
            scene = functions[name](image)
            total_ms[name].append((perf_counter() - started) * 1e3)
            for stage, ms in scene.stage_ms.items():
                stages_ms[name].setdefault(stage, []).append(ms)
    return {
        name: LatencyStats(
            len(faces[name][-1]),
            tuple(total_ms[name]),
            {stage: tuple(times) for stage, times in stages_ms[name].items()},
        )
        for name in names
    }
