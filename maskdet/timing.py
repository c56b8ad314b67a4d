"""How long things take beside each other: in turns, so that all suffer one noise."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter

from maskdet.analyzer import Analyzer
from maskdet.drawing import draw
from maskdet.types import Image, Scene, Settings

Look = Callable[[Image], Scene]
"""Does everything that is to be timed with one picture; tells its stages' times."""

_WARM_UP = 3
"""Rounds before the clock counts: sizes are allocated and caches filled then."""


@dataclass(frozen=True, eq=False)
class Timing:
    """What one contestant took, round by round.

    Attributes:
        faces: how many it saw.
        whole_ms: one time a round.
        stages_ms: the same for each of its stages, in order.
    """

    faces: int
    whole_ms: tuple[float, ...]
    stages_ms: Mapping[str, tuple[float, ...]]

    @property
    def median_ms(self) -> float:
        """The middle time."""
        return statistics.median(self.whole_ms)

    @property
    def p95_ms(self) -> float:
        """The time that 19 of 20 rounds stay within."""
        return sorted(self.whole_ms)[int(0.95 * (len(self.whole_ms) - 1))]

    @property
    def median_stages_ms(self) -> dict[str, float]:
        """The middle time of each stage."""
        return {
            stage: statistics.median(times) for stage, times in self.stages_ms.items()
        }

    def ratio_to(self, other: Timing) -> float:
        """Return how many times as long this took as `other`, in the middle round.

        Both ran in the same rounds, so a slow moment of the machine hits both.
        """
        return statistics.median(
            mine / theirs
            for mine, theirs in zip(self.whole_ms, other.whole_ms, strict=True)
        )


def whole_loop(analyzer: Analyzer, settings: Settings) -> Look:
    """Return what the dashboard does with each image: detect, classify, draw."""

    def look(image: Image) -> Scene:
        scene = analyzer.analyze(image, settings)
        started = perf_counter()
        draw(image, scene)
        draw_ms = (perf_counter() - started) * 1e3
        return dataclasses.replace(scene, stage_ms={**scene.stage_ms, "draw": draw_ms})

    return look


def take_turns(
    looks: Mapping[str, Look], image: Image, rounds: Iterable[int]
) -> dict[str, Timing]:
    """Let all look at one picture in turns, and return the time each took.

    Args:
        looks: the contestants by name.
        image: what they look at.
        rounds: as many as it has numbers. The contestant that begins changes from
            round to round: who comes after a large one finds the caches empty.
    """
    faces = {
        name: [look(image) for _ in range(_WARM_UP)] for name, look in looks.items()
    }
    whole: dict[str, list[float]] = {name: [] for name in looks}
    stages: dict[str, list[Mapping[str, float]]] = {name: [] for name in looks}
    names = list(looks)
    for number in rounds:
        first = number % max(1, len(names))
        for name in names[first:] + names[:first]:
            started = perf_counter()
            scene = looks[name](image)
            whole[name].append((perf_counter() - started) * 1e3)
            stages[name].append(scene.stage_ms)
    return {
        name: Timing(len(faces[name][-1]), tuple(whole[name]), _by_stage(stages[name]))
        for name in names
    }


def _by_stage(rounds: list[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    known = rounds[0] if rounds else {}
    return {stage: tuple(one[stage] for one in rounds) for stage in known}
