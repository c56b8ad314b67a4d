"""The Tune page's desk: what is tuned on, what its sliders say, and said before."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import streamlit as st

from maskdet.tune import calibrating
from maskdet.tune.draft import Draft
from maskdet.tune.goals import Proposal
from maskdet.tune.judging import MIN_IOU, Judge, Outcome
from maskdet.tune.scored import FLOOR_SCORE, Scored
from maskdet.tune.scoring import Cache
from maskdet.tune.sets import Loaded, Pictures
from maskdet.types import Settings
from maskdet.web import session

_DESK = "maskdet.tune"
_KEPT: Final = 200
"""Outcomes, curves and crops that a desk remembers, the last used ones."""

MOVED: Final = ("min_score", "min_confidence", "min_face_px", "nms_iou")
"""The fields of `Settings` that have a slider on the page."""

MOST_FACE_PX: Final = 120
"""End of the slider for the smallest face, unless the settings ask for more."""

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Choice:
    """What the sliders of the page say.

    Attributes:
        settings: the thresholds.
        min_iou: from which overlap with a true face a box counts as found.
        calibrated: whether confidences are those after the fitted temperature.
    """

    settings: Settings
    min_iou: float = MIN_IOU
    calibrated: bool = False


@dataclass(eq=False)
class Material:
    """A set with what one analyzer said about it, and what was worked out of it.

    Attributes:
        judge: of the set; it may be shared with other visitors, the rest is not.
        pictures: of the set, where they are known; stored scores have none.
        labelled_by: the mask model that was at hand and whether it might read again,
            where that is known; files of scores do not tell.
    """

    judge: Judge
    pictures: Pictures | None = None
    labelled_by: tuple[str, bool] | None = None
    _known: OrderedDict[Any, Any] = field(default_factory=OrderedDict)

    @property
    def scored(self) -> Scored:
        """What the analyzer said."""
        return self.judge.scored

    def outcome(self, choice: Choice) -> Outcome:
        """Return what the sliders would show, and what of that is right."""
        temperature = self.fitted.temperature if choice.calibrated else 1.0
        return self.once(
            ("outcome", choice),
            lambda: self.judge(
                choice.settings, min_iou=choice.min_iou, temperature=temperature
            ),
        )

    @property
    def fitted(self) -> calibrating.Fitted:
        """The temperature of the set, fitted once, on what a first visit shows."""
        return self.once(
            "fitted", lambda: calibrating.temperature(self.judge(Settings()))
        )

    def once(self, key: Any, make: Callable[[], _Value]) -> _Value:
        """Return what `make` gives, made only if it is not remembered by `key`."""
        if key not in self._known:
            self._known[key] = make()
        self._known.move_to_end(key)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return cast(_Value, self._known[key])


@dataclass(eq=False)
class Desk:
    """One visitor's tuning.

    Attributes:
        choice: what the sliders say.
        based_on: what Live used when they were last set from there.
        before: what they said before the last move, or nothing.
        kept: what the visitor put aside to compare with, or nothing.
        proposal: the settings proposed for a goal, or nothing.
        materials: by name, the sets of the visitor, one for each analyzer.
        set_key: sha256 of the visitor's set.
        sent: the sha256 of what was sent, by the ids of its files.
        loaded: that set, if it could be read.
        trouble: one line on why it could not.
        zipped: name and content of what was sent, to read it again with other classes.
        words: how many faces carry each of its own names of classes.
        classes: what the visitor said of these names, as `ClassNames.own` has it.
        stale: whether it must be read again, as the classes changed.
        found: what analyzers found in its pictures.
        running: what an analyzer is at work on, or empty.
        failed: one line on why it could not go on; empty if nothing was wrong.
        looked: how many pictures it looked at before it was stopped.
        draft: pictures that the visitor labels.
        labelled: the labels as a set and a key of it, once the visitor said so.
        first: how many faces the gallery shows.
        cell: row and column of the matrix whose faces are shown, or nothing.
    """

    choice: Choice
    based_on: Settings
    before: Choice | None = None
    kept: Choice | None = None
    proposal: Proposal | None = None
    materials: dict[str, Material] = field(default_factory=dict)
    set_key: str = ""
    sent: dict[tuple[str, ...], str] = field(default_factory=dict)
    loaded: Loaded | None = None
    trouble: str = ""
    zipped: tuple[str, bytes] = ("", b"")
    words: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    stale: bool = False
    found: Cache = field(default_factory=dict)
    running: str = ""
    failed: str = ""
    looked: int = 0
    draft: Draft | None = None
    labelled: tuple[str, Loaded] | None = None
    first: int = 12
    cell: tuple[int, int] | None = None

    def move(self, choice: Choice) -> None:
        """Take what the sliders say now; what they said before is remembered."""
        if choice != self.choice:
            self.before, self.choice = self.choice, choice

    def drop(self, set_key: str) -> None:
        """Let go of what was worked out of a set, and of its pictures."""
        for title in [one for one in self.materials if one.startswith(set_key)]:
            del self.materials[title]

    def set_settings(self, settings: Settings) -> None:
        """Move only the thresholds."""
        self.move(dataclasses.replace(self.choice, settings=settings))


def desk() -> Desk:
    """Return the visitor's desk; its sliders follow when those of Live change."""
    in_force = session.preferences().settings
    known: Desk | None = st.session_state.get(_DESK)
    if known is None:
        known = Desk(Choice(offered(in_force)), in_force)
        st.session_state[_DESK] = known
    if known.based_on != in_force:
        known.based_on = in_force
        known.set_settings(offered(in_force))
    return known


def offered(settings: Settings) -> Settings:
    """Return the settings as the sliders can show them: lower scores are not stored."""
    return dataclasses.replace(
        settings,
        min_score=max(FLOOR_SCORE, round(settings.min_score, 2)),
        min_confidence=round(settings.min_confidence, 2),
        min_face_px=max(1.0, round(settings.min_face_px)),
        nms_iou=round(settings.nms_iou, 2),
    )


def fill(desk_: Desk, *, all_of_them: bool = False) -> None:
    """Let the sliders show what is chosen; call it before they are drawn.

    Args:
        desk_: what is chosen.
        all_of_them: also those that show it already. A page that is drawn anew needs
            that; else a slider that somebody holds would be pulled back.
    """
    for key, value in _values(desk_.choice).items():
        if all_of_them or st.session_state.get(key) != value:
            st.session_state[key] = value


def moved() -> None:
    """Take what the sliders say; their callback."""
    known = desk()
    state = st.session_state
    values = {name: state[f"tune.{name}"] for name in MOVED}
    settings = dataclasses.replace(known.choice.settings, **values)
    known.move(Choice(settings, state["tune.min_iou"], state["tune.calibrated"]))


def _values(choice: Choice) -> dict[str, object]:
    """Return the value of each slider by its key."""
    settings = choice.settings
    return {
        "tune.min_score": settings.min_score,
        "tune.min_confidence": settings.min_confidence,
        "tune.min_face_px": int(settings.min_face_px),
        "tune.nms_iou": settings.nms_iou,
        "tune.min_iou": choice.min_iou,
        "tune.calibrated": choice.calibrated,
    }
