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
from maskdet.tune.draft import DraftImage as DraftImage
from maskdet.tune.draft import to_corners
from maskdet.tune.measuring import (
    CancelCallback,
    ProgressCallback,
    iterate_with_progress,
)
from maskdet.types import CLASSES, Scene, Settings


def create_draft(
    uploads: Iterable[tuple[str, bytes]],
    analyzer: Analyzer,
    settings: Settings | None = None,
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelCallback | None = None,
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
    upload_list = list(uploads)
    images: dict[str, DraftImage] = {}
    notes = Issues()
    for upload_name, content in iterate_with_progress(upload_list, progress, cancelled):
        try:
            image = read_image(content)
        except ValueError as error:
            notes.add(upload_name, str(error))
        else:
            scene = analyzer.analyze(image, settings or Settings())
            name = _unique_name(upload_name, images)
            size_wh = (image.shape[1], image.shape[0])
            images[name] = DraftImage(name, content, size_wh, _draft_faces(scene))
    if not images:
        raise ValueError("; ".join(["no image can be read", *notes.lines()]))
    return Draft(tuple(images.values()), notes.lines())


def _draft_faces(scene: Scene) -> tuple[DraftFace, ...]:
    winners = scene.probs.argmax(axis=1) if len(scene) else ()
    return tuple(
        DraftFace(
            to_corners(box), CLASSES[int(winner)], float(confidence), float(score)
        )
        for box, winner, confidence, score in zip(
            scene.faces.boxes,
            winners,
            scene.confidences,
            scene.faces.scores,
            strict=True,
        )
    )


def _unique_name(upload_name: str, taken: Iterable[str]) -> str:
    """Return the last part of a name, numbered where another picture has it."""
    path = PureWindowsPath("".join(char for char in upload_name if char.isprintable()))
    stem, suffix = path.stem.lstrip(".") or "picture", path.suffix or ".jpg"
    taken_names = set(taken)
    candidate, number = f"{stem}{suffix}", 1
    while candidate in taken_names:
        number += 1
        candidate = f"{stem}-{number}{suffix}"
    return candidate
