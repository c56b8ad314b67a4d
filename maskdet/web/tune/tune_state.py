"""The Tune page's desk: what is tuned on, what its sliders say, and said before."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import streamlit as st

from maskdet.settings import Settings
from maskdet.tuning import calibration
from maskdet.tuning.annotation import Draft
from maskdet.tuning.goal_search import Proposal
from maskdet.tuning.labelled_set import ImageStore, ImportedDataset
from maskdet.tuning.operating_point import MIN_IOU, EvaluationResult, Evaluator
from maskdet.tuning.predictions import MIN_STORED_SCORE, AnalyzerPredictions
from maskdet.tuning.scoring import DetectionCache
from maskdet.web import session

_STATE_KEY = "maskdet.tuning"
_MAX_CACHED: Final = 200
"""Outcomes, curves and crops that a desk remembers, the last used ones."""

SLIDER_FIELDS: Final = ("min_score", "min_confidence", "min_face_px", "nms_iou")
"""The fields of `Settings` that have a slider on the page."""

MIN_FACE_SLIDER_END_PX: Final = 120
"""End of the slider for the smallest face, unless the settings ask for more."""

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class SliderValues:
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
class TuningSet:
    """A set with what one analyzer said about it, and what was worked out of it.

    Attributes:
        evaluator: of the set; it may be shared with other visitors, the rest is not.
        images: of the set, where they are known; stored scores have none.
        classified_by: the mask model that was at hand and whether it might read again,
            where that is known; files of scores do not tell.
    """

    evaluator: Evaluator
    images: ImageStore | None = None
    classified_by: tuple[str, bool] | None = None
    _cache: OrderedDict[Any, Any] = field(default_factory=OrderedDict)

    @property
    def predictions(self) -> AnalyzerPredictions:
        """What the analyzer said."""
        return self.evaluator.predictions

    def evaluate(self, sliders: SliderValues) -> EvaluationResult:
        """Return what the sliders would show, and what of that is right."""
        temperature = self.calibration_fit.temperature if sliders.calibrated else 1.0
        return self.get_cached(
            ("outcome", sliders),
            lambda: self.evaluator(
                sliders.settings, min_iou=sliders.min_iou, temperature=temperature
            ),
        )

    @property
    def calibration_fit(self) -> calibration.CalibrationFit:
        """The temperature of the set, fitted once, on what a first visit shows."""
        return self.get_cached(
            "fitted", lambda: calibration.fit_calibration(self.evaluator(Settings()))
        )

    def get_cached(self, key: Any, compute: Callable[[], _Value]) -> _Value:
        """Return what `compute` gives, made only if it is not remembered by `key`."""
        if key not in self._cache:
            self._cache[key] = compute()
        self._cache.move_to_end(key)
        while len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        return cast(_Value, self._cache[key])


@dataclass(eq=False)
class TuneState:
    """One visitor's tuning.

    Attributes:
        sliders: what the sliders say.
        baseline: what Live used when they were last set from there.
        previous: what they said before the last move, or nothing.
        pinned: what the visitor put aside to compare with, or nothing.
        proposal: the settings proposed for a goal, or nothing.
        tuning_sets: by name, the sets of the visitor, one for each analyzer.
        set_key: sha256 of the visitor's set.
        upload_keys: the sha256 of what was sent, by the ids of its files.
        dataset: that set, if it could be read.
        import_error: one line on why it could not.
        archive: name and content of what was sent, to read it again with other classes.
        class_name_counts: how many faces carry each of its own names of classes.
        class_mapping: what the visitor said of these names, as `ClassNames.own` has it.
        needs_reload: whether it must be read again, as the classes changed.
        detection_cache: what analyzers found in its images.
        running: what an analyzer is at work on, or empty.
        scoring_error: one line on why it could not go on; empty if nothing was wrong.
        n_scored: how many images it looked at before it was stopped.
        draft: images that the visitor labels.
        annotated: the labels as a set and a key of it, once the visitor said so.
        n_cards: how many faces the gallery shows.
        cell: row and column of the matrix whose faces are shown, or nothing.
    """

    sliders: SliderValues
    baseline: Settings
    previous: SliderValues | None = None
    pinned: SliderValues | None = None
    proposal: Proposal | None = None
    tuning_sets: dict[str, TuningSet] = field(default_factory=dict)
    set_key: str = ""
    upload_keys: dict[tuple[str, ...], str] = field(default_factory=dict)
    dataset: ImportedDataset | None = None
    import_error: str = ""
    archive: tuple[str, bytes] = ("", b"")
    class_name_counts: Mapping[str, int] = field(default_factory=dict)
    class_mapping: Mapping[str, str] = field(default_factory=dict)
    needs_reload: bool = False
    detection_cache: DetectionCache = field(default_factory=dict)
    running: str = ""
    scoring_error: str = ""
    n_scored: int = 0
    draft: Draft | None = None
    annotated: tuple[str, ImportedDataset] | None = None
    n_cards: int = 12
    cell: tuple[int, int] | None = None

    def set_sliders(self, sliders: SliderValues) -> None:
        """Take what the sliders say now; what they said before is remembered."""
        if sliders != self.sliders:
            self.previous, self.sliders = self.sliders, sliders

    def drop_set(self, set_key: str) -> None:
        """Let go of what was worked out of a set, and of its images."""
        for title in [name for name in self.tuning_sets if name.startswith(set_key)]:
            del self.tuning_sets[title]

    def set_settings(self, settings: Settings) -> None:
        """Move only the thresholds."""
        self.set_sliders(dataclasses.replace(self.sliders, settings=settings))


def get_state() -> TuneState:
    """Return the visitor's desk; its sliders follow when those of Live change."""
    live_settings = session.get_preferences().settings
    state: TuneState | None = st.session_state.get(_STATE_KEY)
    if state is None:
        state = TuneState(SliderValues(clamp_settings(live_settings)), live_settings)
        st.session_state[_STATE_KEY] = state
    if state.baseline != live_settings:
        state.baseline = live_settings
        state.set_settings(clamp_settings(live_settings))
    return state


def clamp_settings(settings: Settings) -> Settings:
    """Return the settings as the sliders can show them: lower scores are not stored."""
    return dataclasses.replace(
        settings,
        min_score=max(MIN_STORED_SCORE, round(settings.min_score, 2)),
        min_confidence=round(settings.min_confidence, 2),
        min_face_px=max(1.0, round(settings.min_face_px)),
        nms_iou=round(settings.nms_iou, 2),
    )


def sync_sliders(state: TuneState, *, force: bool = False) -> None:
    """Let the sliders show what is chosen; call it before they are drawn.

    Args:
        state: what is chosen.
        force: also those that show it already. A page that is drawn anew needs
            that; else a slider that somebody holds would be pulled back.
    """
    for key, value in _widget_values(state.sliders).items():
        if force or st.session_state.get(key) != value:
            st.session_state[key] = value


def on_slider_change() -> None:
    """Take what the sliders say; their callback."""
    tune_state = get_state()
    state = st.session_state
    values = {name: state[f"tune.{name}"] for name in SLIDER_FIELDS}
    settings = dataclasses.replace(tune_state.sliders.settings, **values)
    tune_state.set_sliders(
        SliderValues(settings, state["tune.min_iou"], state["tune.calibrated"])
    )


def _widget_values(sliders: SliderValues) -> dict[str, object]:
    """Return the value of each slider by its key."""
    settings = sliders.settings
    return {
        "tune.min_score": settings.min_score,
        "tune.min_confidence": settings.min_confidence,
        "tune.min_face_px": int(settings.min_face_px),
        "tune.nms_iou": settings.nms_iou,
        "tune.min_iou": sliders.min_iou,
        "tune.calibrated": sliders.calibrated,
    }
