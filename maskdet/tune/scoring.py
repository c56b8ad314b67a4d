"""An analyzer looks once at every picture of a set, as laxly as it can."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

from maskdet.analyzer import Analyzer
from maskdet.boxes import Boxes
from maskdet.classifier import DEFAULT_CLASSIFIER
from maskdet.tune.scored import FLOOR_SCORE, Numbers, Scored
from maskdet.tune.sets import Cancelled, Loaded, Progress
from maskdet.types import Settings

LAX: Final = Settings(min_score=FLOOR_SCORE, min_certainty=0, min_face_px=1, nms_iou=1)
"""Nothing that any slider could show is refused."""


@dataclass(frozen=True, eq=False)
class Found:
    """What an analyzer found in one picture; rows by falling score.

    Attributes:
        boxes: `(n, 4)` in pixels of the picture.
        scores: `(n,)` face scores.
        probs: `(n, 3)` columns as in `CLASSES`.
        lights: `(n,)` see `FaceRows`.
        sharpness: `(n,)` see `FaceRows`.
    """

    boxes: Boxes
    scores: Numbers
    probs: Numbers
    lights: Numbers
    sharpness: Numbers


Cache = MutableMapping[tuple[str, str], Found]
"""By sha256 of the picture's file and `analyzer_key`; a plain dict will do."""


def analyzer_key(
    name: str, classifier: str = DEFAULT_CLASSIFIER, *, second_look: bool = True
) -> str:
    """Return a text that differs where the answers of an analyzer may differ.

    Args: as of `load_analyzer`.
    """
    raise NotImplementedError


def score_set(
    loaded: Loaded,
    analyzer: Analyzer,
    name: str,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    cache: Cache | None = None,
    key: str = "",
) -> Scored:
    """Return all that an analyzer finds in a set, for `Judge` to choose from.

    Args:
        loaded: the set.
        analyzer: looks at each picture once, with `LAX` settings.
        name: of the analyzer.
        progress: told how far it is.
        cancelled: asked before each picture.
        cache: what is there is not looked at again; what is new is put there, picture
            by picture, so that whoever stops loses nothing.
        key: names the analyzer and its files in the cache; `analyzer_key(name)` unless
            given.

    Raises:
        ValueError: a picture cannot be read any more; one line.
        Stopped: `cancelled` said so.
    """
    raise NotImplementedError
