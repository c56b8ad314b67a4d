"""The scene in view, the one before the last cut, and the people of each."""

from __future__ import annotations

from dataclasses import dataclass

from maskdet.tracking.cuts import Thumbnail, same_scene, thumbnail
from maskdet.tracking.flow import Grey, small_grey
from maskdet.tracking.people import People
from maskdet.tracking.rules import TrackRules
from maskdet.types import Image


@dataclass(frozen=True, eq=False)
class View:
    """One picture, small.

    Attributes:
        size_wh: the picture's size in pixels.
        grey: the small picture.
        thumb: a still smaller one.
    """

    size_wh: tuple[int, int]
    grey: Grey
    thumb: Thumbnail

    @classmethod
    def of(cls, image: Image) -> View:
        """Return the view of an image, `(h, w, 3)` uint8, BGR."""
        grey = small_grey(image)
        return cls((image.shape[1], image.shape[0]), grey, thumbnail(grey))

    @property
    def scale(self) -> float:
        """Pixels of the small picture per pixel of the image."""
        return float(self.grey.shape[1] / self.size_wh[0])


class Scenes:
    """The scene in view and the one before it.

    A film that cuts back to the scene before, or a camera that shows one broken
    picture, finds its people again; everybody else is new after a cut.

    Attributes:
        people: who is in the scene in view.
        view: its last picture, if pictures are given.
    """

    def __init__(self, rules: TrackRules) -> None:
        """Start with nobody and no picture."""
        self.people = People(rules)
        self.view: View | None = None
        self._rules = rules
        self._other = People(rules)
        self._other_view: View | None = None

    def look(self, view: View | None) -> tuple[int, ...]:
        """Take in the next picture.

        Returns:
            The numbers of people who are forgotten because the scene changed twice.
        """
        before, self.view = self.view, view
        if view is None or before is None:
            return ()
        if view.size_wh != before.size_wh:
            factors = (
                view.size_wh[0] / before.size_wh[0],
                (view.size_wh[1] / before.size_wh[1]),
            )
            self.people.rescale(*factors)
            self._other.rescale(*factors)
        if same_scene(before.thumb, view.thumb):
            return ()
        other, other_view = self._other, self._other_view
        self.people.lose()
        self._other, self._other_view = self.people, before
        if other_view is not None and same_scene(other_view.thumb, view.thumb):
            self.people = other
            return ()
        self.people = People(self._rules)
        return tuple(int(number) for number in other.ids[other.known])

    def forget(self, time_s: float, memory_s: float) -> tuple[int, ...]:
        """Forget whoever was not seen for too long; return their numbers."""
        here = self.people.forget(time_s, memory_s)
        return here + self._other.forget(time_s, memory_s)
