"""How long things take beside each other: in turns, so that all suffer one noise."""

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
"""Does everything that is to be timed with one image; tells its stages' times."""

_WARM_UP_ROUNDS = 3
"""Rounds before the clock counts: sizes are allocated and caches filled then."""


@dataclass(frozen=True, eq=False)
class LatencyStats:
    """What one contestant took, round by round.

    Attributes:
        n_faces: how many it saw.
        total_ms: one time a round.
        stages_ms: the same for each of its stages, in order.
    """

    n_faces: int
    total_ms: tuple[float, ...]
    stages_ms: Mapping[str, tuple[float, ...]]

    @property
    def median_ms(self) -> float:
        """The middle time."""
        return statistics.median(self.total_ms)

    @property
    def p95_ms(self) -> float:
        """The time that 19 of 20 rounds stay within."""
        return sorted(self.total_ms)[int(0.95 * (len(self.total_ms) - 1))]

    @property
    def median_stages_ms(self) -> dict[str, float]:
        """The middle time of each stage."""
        return {
            stage: statistics.median(times) for stage, times in self.stages_ms.items()
        }

    def ratio_to(self, other: LatencyStats) -> float:
        """Return how many times as long this took as `other`, in the middle round.

        Both ran in the same rounds, so a slow moment of the machine hits both.
        """
        return statistics.median(
            mine / theirs
            for mine, theirs in zip(self.total_ms, other.total_ms, strict=True)
        )


def make_analyze_and_draw(analyzer: Analyzer, settings: Settings) -> TimedFunction:
    """Return what the dashboard does with each image: detect, classify, draw."""

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
    """Let all look at one image in turns, and return the time each took.

    Args:
        functions: the contestants by name.
        image: what they look at.
        rounds: as many as it has numbers. The contestant that begins changes from
            round to round: who comes after a large one finds the caches empty.
    """
    faces = {
        name: [function(image) for _ in range(_WARM_UP_ROUNDS)]
        for name, function in functions.items()
    }
    total_ms: dict[str, list[float]] = {name: [] for name in functions}
    stages_ms: dict[str, list[Mapping[str, float]]] = {name: [] for name in functions}
    names = list(functions)
    for round_index in rounds:
        first = round_index % max(1, len(names))
        for name in names[first:] + names[:first]:
            started = perf_counter()
            scene = functions[name](image)
            total_ms[name].append((perf_counter() - started) * 1e3)
            stages_ms[name].append(scene.stage_ms)
    return {
        name: LatencyStats(
            len(faces[name][-1]),
            tuple(total_ms[name]),
            _group_by_stage(stages_ms[name]),
        )
        for name in names
    }


def _group_by_stage(rounds: list[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    first_round = rounds[0] if rounds else {}
    return {
        stage: tuple(round_ms[stage] for round_ms in rounds) for stage in first_round
    }
