"""Labels made on the page: an analyzer boxes the faces, a person has the last word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from maskdet.analyzer import Analyzer
from maskdet.tune.sets import Cancelled, Loaded, Progress
from maskdet.types import Image, Label, Settings

Corners = tuple[float, float, float, float]
"""`x1, y1, x2, y2` in pixels of the picture."""


@dataclass(frozen=True)
class DraftFace:
    """One face of a draft.

    Attributes:
        box: where it is.
        label: what it shows, as far as is known; `UNKNOWN` counts as neither right nor
            wrong.
        certainty: probability of the label that the analyzer gave; 1 by a person.
        score: how sure the analyzer is that it is a face; 1 by a person.
        confirmed: whether a person said so.
    """

    box: Corners
    label: Label
    certainty: float = 1.0
    score: float = 1.0
    confirmed: bool = False


@dataclass(frozen=True)
class DraftPicture:
    """One picture of a draft.

    Attributes:
        name: no path, and no other picture of the draft has it.
        content: the file as it was sent.
        size_wh: width and height in pixels.
        faces: in it.
        complete: whether a person said that no face is missing.
    """

    name: str
    content: bytes
    size_wh: tuple[int, int]
    faces: tuple[DraftFace, ...] = ()
    complete: bool = False


@dataclass(frozen=True)
class Draft:
    """Pictures being labelled; each step returns a new draft, so that one can go back.

    Attributes:
        pictures: in the order they came.
        notes: what was left out, a line each.
    """

    pictures: tuple[DraftPicture, ...] = ()
    notes: tuple[str, ...] = ()

    def image(self, picture: int) -> Image:
        """Return a picture, upright, BGR."""
        raise NotImplementedError

    def confirmed(self, picture: int, face: int) -> Draft:
        """Return the draft with a face said to be right."""
        raise NotImplementedError

    def relabelled(self, picture: int, face: int, label: Label) -> Draft:
        """Return the draft with a face of another class; that confirms it."""
        raise NotImplementedError

    def removed(self, picture: int, face: int) -> Draft:
        """Return the draft without a box that is no face."""
        raise NotImplementedError

    def added(self, picture: int, box: Corners, label: Label) -> Draft:
        """Return the draft with a face that the analyzer missed."""
        raise NotImplementedError

    def completed(self, picture: int) -> Draft:
        """Return the draft with a picture said to be right, all faces of it."""
        raise NotImplementedError

    def doubtful(self) -> tuple[tuple[int, int], ...]:
        """Return picture and face of all that nobody confirmed, most doubtful first."""
        raise NotImplementedError

    def coco(self) -> bytes:
        """Return the labels as a COCO file."""
        raise NotImplementedError

    def packed(self) -> bytes:
        """Return a zip of the labels and their pictures, which `read_set` reads."""
        raise NotImplementedError

    def loaded(self, name: str = "your labels") -> Loaded:
        """Return the labelled set, to tune on."""
        raise NotImplementedError


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
        settings: which faces it shows; laxer ones make fewer to add by hand.
        progress: told how far it is.
        cancelled: asked before each picture.

    Raises:
        ValueError: no picture can be read; one line.
        Stopped: `cancelled` said so.
    """
    raise NotImplementedError
