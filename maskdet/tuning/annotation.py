"""Annotation of images: an analyzer detects the faces, a person corrects them."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Final

import numpy as np

from maskdet.analyzers.pipelines import Analyzer
from maskdet.boxes import Boxes, clip_boxes, sizes_px
from maskdet.datasets import Example
from maskdet.datasets.archives import MemoryFiles
from maskdet.datasets.coco import build_coco
from maskdet.datasets.files import (
    IGNORED_NAME,
    DatasetAnnotations,
    ImageAnnotations,
    stack_boxes,
)
from maskdet.datasets.issues import Issues
from maskdet.evaluation.labelled_set import (
    ImageStore,
    ImportedDataset,
    ProgressCallback,
    build_labelled_set,
    iterate_with_progress,
)
from maskdet.media import read_image
from maskdet.settings import Settings
from maskdet.types import CLASSES, Image, Label, Scene

LABELS_FILE_NAME: Final = "_annotations.coco.json"
"""Name of the label file in the zip of a draft."""

# A placeholder that need not exist: image names are written relative to it.
_DRAFT_FOLDER = Path("/draft")

Corners = tuple[float, float, float, float]
"""`x1, y1, x2, y2` in pixels of the image."""


@dataclass(frozen=True)
class DraftFace:
    """One face of a draft.

    Attributes:
        box: its corners.
        label: its class; `UNKNOWN` counts as neither right nor wrong.
        confidence: probability of the label from the analyzer; 1 from a person.
        score: detection score from the analyzer; 1 from a person.
        confirmed: whether a person confirmed it.
    """

    box: Corners
    label: Label
    confidence: float = 1.0
    score: float = 1.0
    confirmed: bool = False

    @property
    def uncertainty(self) -> float:
        """Estimated probability that box or label is wrong, in [0, 1]."""
        return 1 - self.confidence * self.score


@dataclass(frozen=True)
class DraftImage:
    """One image of a draft.

    Attributes:
        name: file name without a path, unique in the draft.
        content: the uploaded file.
        size_wh: width and height in pixels.
        faces: its faces.
        complete: whether a person confirmed that no face is missing.
    """

    name: str
    content: bytes = dataclasses.field(repr=False)
    size_wh: tuple[int, int]
    faces: tuple[DraftFace, ...] = ()
    complete: bool = False

    @property
    def is_reviewed(self) -> bool:
        """Whether a person confirmed anything in it; other images are left out."""
        return self.complete or any(face.confirmed for face in self.faces)


@dataclass(frozen=True)
class Draft:
    """Images being labelled; each step returns a new draft, which allows undo.

    In exports, an unconfirmed face is of unknown class, and an image that was not
    reviewed is left out.

    Attributes:
        images: in the order of the uploads.
        notes: one line for each reason why something was left out.
    """

    images: tuple[DraftImage, ...] = ()
    notes: tuple[str, ...] = ()

    def load_image(self, image_index: int) -> Image:
        """Return an image, upright, BGR."""
        return read_image(self.images[image_index].content)

    def relabel_face(self, image_index: int, face_index: int, label: Label) -> Draft:
        """Return the draft with the class of a face, which confirms the face."""
        box = self.images[image_index].faces[face_index].box
        face = DraftFace(box, label, confirmed=True)
        return self._replace_face(image_index, face_index, face)

    def remove_face(self, image_index: int, face_index: int) -> Draft:
        """Return the draft without a box that is not a face."""
        return self._replace_face(image_index, face_index)

    def add_face(self, image_index: int, box: Corners, label: Label) -> Draft:
        """Return the draft with a face that the analyzer missed.

        Args:
            image_index: index in `images`.
            box: corners in any order; clipped to the image.
            label: its class.

        Raises:
            ValueError: the box is empty or outside the image.
        """
        x1, y1, x2, y2 = box
        corners = [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]
        box_array = np.array([corners], np.float32)
        inside = clip_boxes(box_array, *self.images[image_index].size_wh)
        # Negated, so that a box with NaN fails too.
        if not sizes_px(inside)[0] >= 1:
            raise ValueError("the box is empty or outside the image; draw it again")
        face = DraftFace(to_corners(inside[0]), label, confirmed=True)
        return self._replace_faces(image_index, [*self.images[image_index].faces, face])

    def complete_image(self, image_index: int) -> Draft:
        """Return the draft with an image complete and all its faces confirmed."""
        faces = [
            dataclasses.replace(face, confirmed=True)
            for face in self.images[image_index].faces
        ]
        return self._replace_faces(image_index, faces, complete=True)

    def rank_unconfirmed(self) -> tuple[tuple[int, int], ...]:
        """Return image and face index of unconfirmed faces, most uncertain first."""
        faces = {
            (image_index, face_index): face
            for image_index, image in enumerate(self.images)
            for face_index, face in enumerate(image.faces)
            if not face.confirmed
        }
        return tuple(sorted(faces, key=lambda key: (-faces[key].uncertainty, key)))

    def count_labelled(self) -> int:
        """Return the number of confirmed faces with a class."""
        return sum(
            bool(_class_word(face)) for image in self.images for face in image.faces
        )

    def to_coco(self) -> bytes:
        """Return the labels of all reviewed images as a COCO file."""
        reviewed = self._reviewed_images()
        scenes = [(_to_example(image), image.size_wh) for image in reviewed]
        content = build_coco(scenes, _DRAFT_FOLDER)
        return (json.dumps(content, indent=1) + "\n").encode("utf-8")

    def to_zip(self) -> bytes:
        """Return a zip of labels and images, which `import_dataset` reads."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(LABELS_FILE_NAME, self.to_coco(), zipfile.ZIP_DEFLATED)
            for image in self._reviewed_images():
                archive.writestr(image.name, image.content)
        return buffer.getvalue()

    def to_dataset(self, name: str = "your labels") -> ImportedDataset:
        """Return the labelled set for tuning.

        Raises:
            ValueError: no face with a class is confirmed.
        """
        reviewed = self._reviewed_images()
        if not any(_class_word(face) for image in reviewed for face in image.faces):
            raise ValueError("no face is confirmed; confirm or correct some faces")
        files = MemoryFiles({image.name: image.content for image in reviewed})
        rows = tuple(
            ImageAnnotations(
                image.name,
                tuple(_class_word(face) for face in image.faces),
                stack_boxes([np.array(face.box) for face in image.faces]),
            )
            for image in reviewed
        )
        notes = Issues()
        for image in self.images:
            if not image.is_reviewed:
                notes.add(image.name, "no label in it is confirmed")
        ground_truth, paths = build_labelled_set(
            DatasetAnnotations("labelled here", rows), files, name, notes
        )
        return ImportedDataset(
            ground_truth, ImageStore(files, paths), (*self.notes, *notes.lines())
        )

    def _reviewed_images(self) -> tuple[DraftImage, ...]:
        return tuple(image for image in self.images if image.is_reviewed)

    def _replace_face(
        self, image_index: int, face_index: int, *new_faces: DraftFace
    ) -> Draft:
        faces = list(self.images[image_index].faces)
        faces[face_index : face_index + 1] = new_faces
        return self._replace_faces(image_index, faces)

    def _replace_faces(
        self, image_index: int, faces: Sequence[DraftFace], **changes: Any
    ) -> Draft:
        images = list(self.images)
        images[image_index] = dataclasses.replace(
            images[image_index], faces=tuple(faces), **changes
        )
        return dataclasses.replace(self, images=tuple(images))


def to_corners(box: Iterable[float]) -> Corners:
    """Return a box as a tuple of floats."""
    x1, y1, x2, y2 = (float(corner) for corner in box)
    return x1, y1, x2, y2


def _class_word(face: DraftFace) -> str:
    has_class = face.confirmed and face.label != Label.UNKNOWN
    return face.label.key if has_class else IGNORED_NAME


def _to_example(image: DraftImage) -> Example:
    labelled = [face for face in image.faces if _class_word(face)]
    others = [face for face in image.faces if not _class_word(face)]
    return Example(
        _DRAFT_FOLDER / image.name,
        _stack_boxes(labelled),
        tuple(face.label for face in labelled),
        ignore_boxes=_stack_boxes(others),
    )


def _stack_boxes(faces: Sequence[DraftFace]) -> Boxes:
    return stack_boxes([np.array(face.box) for face in faces]).astype(np.float32)


def create_draft(
    uploads: Iterable[tuple[str, bytes]],
    analyzer: Analyzer,
    settings: Settings | None = None,
    *,
    progress: ProgressCallback | None = None,
) -> Draft:
    """Return a draft of images with the faces that an analyzer detects.

    Args:
        uploads: name and content of each image; unreadable images are left out and
            noted.
        analyzer: detects and classifies the faces.
        settings: select the faces; `Settings()` by default.
        progress: called with the progress after each image.

    Raises:
        ValueError: no image can be read; one line.
    """
    upload_list = list(uploads)
    images: dict[str, DraftImage] = {}
    notes = Issues()
    for upload_name, content in iterate_with_progress(upload_list, progress):
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
    winners = scene.probs.argmax(axis=1)
    columns = (scene.faces.boxes, winners, scene.confidences, scene.faces.scores)
    return tuple(
        DraftFace(
            to_corners(box), CLASSES[int(winner)], float(confidence), float(score)
        )
        for box, winner, confidence, score in zip(*columns, strict=True)
    )


def _unique_name(upload_name: str, taken: Iterable[str]) -> str:
    """Return the last part of a name, numbered if another image has it."""
    path = PureWindowsPath("".join(char for char in upload_name if char.isprintable()))
    stem, suffix = path.stem.lstrip(".") or "image", path.suffix or ".jpg"
    taken_names = set(taken)
    candidate, number = f"{stem}{suffix}", 1
    while candidate in taken_names:
        number += 1
        candidate = f"{stem}-{number}{suffix}"
    return candidate
