"""Labels made on the page: an analyzer boxes the faces, a person has the last word."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from maskdet.boxes import Boxes, clip, sizes_px
from maskdet.datasets import Example
from maskdet.datasets.archives import MemoryFiles
from maskdet.datasets.coco_writing import coco_content
from maskdet.datasets.issues import Issues
from maskdet.datasets.listing import IGNORED, Listed, Listing, stacked
from maskdet.media import read_image
from maskdet.tune.measuring import measured
from maskdet.tune.sets import Loaded, Pictures
from maskdet.types import Image, Label

LABELS_NAME: Final = "_annotations.coco.json"
"""The file of labels in a packed draft, beside its pictures."""

# No such folder is needed: names of pictures are told relative to it.
_FOLDER = Path("/draft")

Corners = tuple[float, float, float, float]
"""`x1, y1, x2, y2` in pixels of the picture."""


@dataclass(frozen=True)
class DraftFace:
    """One face of a draft.

    Attributes:
        box: where it is.
        label: what it shows, as far as is known; `UNKNOWN` counts as neither right nor
            wrong.
        confidence: probability of the label that the analyzer gave; 1 by a person.
        score: how sure the analyzer is that it is a face; 1 by a person.
        confirmed: whether a person said so.
    """

    box: Corners
    label: Label
    confidence: float = 1.0
    score: float = 1.0
    confirmed: bool = False

    @property
    def doubt(self) -> float:
        """How likely the analyzer thinks that box or label is wrong, in [0, 1]."""
        return 1 - self.confidence * self.score


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
    content: bytes = dataclasses.field(repr=False)
    size_wh: tuple[int, int]
    faces: tuple[DraftFace, ...] = ()
    complete: bool = False

    @property
    def touched(self) -> bool:
        """Whether a person said anything about it; only then it is in the set."""
        return self.complete or any(face.confirmed for face in self.faces)


@dataclass(frozen=True)
class Draft:
    """Pictures being labelled; each step returns a new draft, so that one can go back.

    In what is saved or tuned on, a face that nobody confirmed is of unknown class, and
    a picture that nobody touched is left out.

    Attributes:
        pictures: in the order they came.
        notes: what was left out, a line each.
    """

    pictures: tuple[DraftPicture, ...] = ()
    notes: tuple[str, ...] = ()

    def image(self, picture: int) -> Image:
        """Return a picture, upright, BGR."""
        return read_image(self.pictures[picture].content)

    def confirmed(self, picture: int, face: int) -> Draft:
        """Return the draft with a face said to be right."""
        known = self.pictures[picture].faces[face]
        changed = dataclasses.replace(known, confirmed=True)
        return self._with_face(picture, face, changed)

    def relabelled(self, picture: int, face: int, label: Label) -> Draft:
        """Return the draft with a face of another class; that confirms it."""
        box = self.pictures[picture].faces[face].box
        return self._with_face(picture, face, DraftFace(box, label, confirmed=True))

    def removed(self, picture: int, face: int) -> Draft:
        """Return the draft without a box that is no face."""
        faces = list(self.pictures[picture].faces)
        del faces[face]
        return self._with_faces(picture, faces)

    def added(self, picture: int, box: Corners, label: Label) -> Draft:
        """Return the draft with a face that the analyzer missed.

        Args:
            picture: of the draft.
            box: corners in any order; cut at the picture's border.
            label: what it shows.

        Raises:
            ValueError: the box is empty or outside the picture.
        """
        x1, y1, x2, y2 = box
        corners = [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]
        wanted = np.array([corners], np.float32)
        inside = clip(wanted, *self.pictures[picture].size_wh)
        # Written so that a box which is not a number fails too.
        if not sizes_px(inside)[0] >= 1:
            raise ValueError("the box is empty or outside the picture; draw it anew")
        face = DraftFace(corners_of(inside[0]), label, confirmed=True)
        return self._with_faces(picture, [*self.pictures[picture].faces, face])

    def completed(self, picture: int) -> Draft:
        """Return the draft with a picture said to be right, all faces of it."""
        known = self.pictures[picture]
        faces = [dataclasses.replace(face, confirmed=True) for face in known.faces]
        changed = dataclasses.replace(known, faces=tuple(faces), complete=True)
        return self._with(picture, changed)

    def doubtful(self) -> tuple[tuple[int, int], ...]:
        """Return picture and face of all that nobody confirmed, most doubtful first."""
        open_faces = [
            (-face.doubt, number, place)
            for number, picture in enumerate(self.pictures)
            for place, face in enumerate(picture.faces)
            if not face.confirmed
        ]
        return tuple((number, place) for _, number, place in sorted(open_faces))

    def coco(self) -> bytes:
        """Return the labels of all touched pictures as a COCO file."""
        scenes = [(_example(one), one.size_wh) for one in self._touched()]
        content = coco_content(scenes, _FOLDER)
        return (json.dumps(content, indent=1) + "\n").encode("utf-8")

    def packed(self) -> bytes:
        """Return a zip of the labels and their pictures, which `read_set` reads."""
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as packed:
            packed.writestr(LABELS_NAME, self.coco(), zipfile.ZIP_DEFLATED)
            for one in self._touched():
                packed.writestr(one.name, one.content)
        return target.getvalue()

    def loaded(self, name: str = "your labels") -> Loaded:
        """Return the labelled set, to tune on.

        Raises:
            ValueError: nobody confirmed any face yet.
        """
        touched = self._touched()
        if not any(_word(face) for one in touched for face in one.faces):
            raise ValueError("no face is confirmed yet; confirm or correct a few first")
        files = MemoryFiles({one.name: one.content for one in touched})
        rows = tuple(
            Listed(
                one.name,
                tuple(_word(face) for face in one.faces),
                stacked([np.array(face.box) for face in one.faces]),
            )
            for one in touched
        )
        notes = Issues()
        for one in self.pictures:
            if not one.touched:
                notes.add(one.name, "nobody confirmed anything in it")
        truth, places = measured(Listing("labelled here", rows), files, name, notes)
        return Loaded(truth, Pictures(files, places), (*self.notes, *notes.lines()))

    def _touched(self) -> tuple[DraftPicture, ...]:
        return tuple(one for one in self.pictures if one.touched)

    def _with_face(self, picture: int, place: int, face: DraftFace) -> Draft:
        faces = list(self.pictures[picture].faces)
        faces[place] = face
        return self._with_faces(picture, faces)

    def _with_faces(self, picture: int, faces: Sequence[DraftFace]) -> Draft:
        changed = dataclasses.replace(self.pictures[picture], faces=tuple(faces))
        return self._with(picture, changed)

    def _with(self, picture: int, changed: DraftPicture) -> Draft:
        pictures = list(self.pictures)
        pictures[picture] = changed
        return dataclasses.replace(self, pictures=tuple(pictures))


def corners_of(box: Iterable[float]) -> Corners:
    """Return a box as plain numbers."""
    x1, y1, x2, y2 = (float(corner) for corner in box)
    return x1, y1, x2, y2


def _word(face: DraftFace) -> str:
    known = face.confirmed and face.label != Label.UNKNOWN
    return face.label.key if known else IGNORED


def _example(picture: DraftPicture) -> Example:
    known = [face for face in picture.faces if _word(face)]
    others = [face for face in picture.faces if not _word(face)]
    return Example(
        _FOLDER / picture.name,
        _boxes(known),
        tuple(face.label for face in known),
        ignored=_boxes(others),
    )


def _boxes(faces: Sequence[DraftFace]) -> Boxes:
    return stacked([np.array(face.box) for face in faces]).astype(np.float32)
