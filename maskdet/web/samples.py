"""The samples that a visitor can try without having a picture or film at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskdet.resources import resource_path

_SAMPLES_FOLDER: Final = resource_path("samples")

_PORTRAIT_CREDIT: Final = "NASA, Eileen Collins, public domain"
_DRAWN_MASK_CREDIT: Final = f"{_PORTRAIT_CREDIT}; mask drawn by this program"


@dataclass(frozen=True)
class Sample:
    """A picture or film that comes with the project.

    Attributes:
        title: what a visitor reads, in plain words.
        path: the JPEG or MP4 file.
        credit: who made it and on which terms; shown with it.
    """

    title: str
    path: Path
    credit: str


IMAGE_SAMPLES: Final[tuple[Sample, ...]] = (
    Sample("Group", _SAMPLES_FOLDER / "group.jpg", _DRAWN_MASK_CREDIT),
    Sample("Mask", _SAMPLES_FOLDER / "portrait-mask.jpg", _DRAWN_MASK_CREDIT),
    Sample("No mask", _SAMPLES_FOLDER / "portrait-bare.jpg", _PORTRAIT_CREDIT),
    Sample(
        "Mask below the nose",
        _SAMPLES_FOLDER / "portrait-below-nose.jpg",
        _DRAWN_MASK_CREDIT,
    ),
)
"""In the order in which they are offered."""

VIDEO_SAMPLE: Final = Sample(
    "Film",
    _SAMPLES_FOLDER / "film.mp4",
    f"{_PORTRAIT_CREDIT}; masks, hall and movement drawn by this program",
)
"""Twelve seconds with three people; one of them turns away for a while."""
