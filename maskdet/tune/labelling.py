"""Labelling begins: what an analyzer finds in pictures, for a person to put right."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PureWindowsPath

from maskdet.analyzer import Analyzer
from maskdet.datasets.issues import Issues
from maskdet.media import read_image
from maskdet.tune.draft import Corners as Corners
from maskdet.tune.draft import Draft as Draft
from maskdet.tune.draft import DraftFace as DraftFace
from maskdet.tune.draft import DraftPicture as DraftPicture
from maskdet.tune.draft import corners_of
from maskdet.tune.measuring import Cancelled, Progress, watched
from maskdet.types import CLASSES, Scene, Settings


def draft_of(
    uploads: Iterable[tuple[str, bytes]],
    analyzer: Analyzer,
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Draft:
    """Return a draft of pictures with the faces that an analyzer finds.

    Args:
        uploads: name and content of each picture; what cannot be read is left out and
            noted.
        analyzer: boxes and labels the faces.
        settings: which faces it shows; `Settings()` unless given.
        progress: told how far it is.
        cancelled: asked before each picture.

    Raises:
        ValueError: no picture can be read; one line.
        Stopped: `cancelled` said so.
    """
    sent = list(uploads)
    pictures: dict[str, DraftPicture] = {}
    notes = Issues()
    for given, content in watched(sent, progress, cancelled):
        try:
            image = read_image(content)
        except ValueError as error:
            notes.add(given, str(error))
        else:
            scene = analyzer.analyze(image, settings or Settings())
            name = _free_name(given, pictures)
            size_wh = (image.shape[1], image.shape[0])
            pictures[name] = DraftPicture(name, content, size_wh, _faces(scene))
    if not pictures:
        raise ValueError("; ".join(["no image can be read", *notes.lines()]))
    return Draft(tuple(pictures.values()), notes.lines())


def _faces(scene: Scene) -> tuple[DraftFace, ...]:
    winners = scene.probs.argmax(axis=1) if len(scene) else ()
    return tuple(
        DraftFace(
            corners_of(box), CLASSES[int(winner)], float(confidence), float(score)
        )
        for box, winner, confidence, score in zip(
            scene.faces.boxes,
            winners,
            scene.confidences,
            scene.faces.scores,
            strict=True,
        )
    )


def _free_name(given: str, taken: Iterable[str]) -> str:
    """Return the last part of a name, numbered where another picture has it."""
    path = PureWindowsPath("".join(one for one in given if one.isprintable()))
    stem, suffix = path.stem.lstrip(".") or "picture", path.suffix or ".jpg"
    known = set(taken)
    tried, number = f"{stem}{suffix}", 1
    while tried in known:
        number += 1
        tried = f"{stem}-{number}{suffix}"
    return tried
