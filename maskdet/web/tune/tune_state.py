"""State of the Tune page: the data, the sliders and their history."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar, cast

import streamlit as st

from maskdet.evaluation.labelled_set import ImageStore, ImportedDataset
from maskdet.evaluation.operating_point import EvaluationResult, Evaluator
from maskdet.evaluation.predictions import MIN_STORED_SCORE, AnalyzerPredictions
from maskdet.evaluation.scoring import DetectionCache
from maskdet.metrics.matching import MIN_IOU
from maskdet.settings import Settings
from maskdet.tuning import calibration
from maskdet.tuning.annotation import Draft
from maskdet.tuning.goal_search import Proposal
from maskdet.web import session

_STATE_KEY = "maskdet.tuning"
_MAX_CACHED: Final = 200
"""Results, curves and crops cached for each set; the least recently used go first."""

_MAX_UPLOADED_SCORES: Final = 4
"""Uploaded predictions kept for a comparison; the oldest go first."""

SLIDER_FIELDS: Final = ("min_score", "min_confidence", "min_face_px", "nms_iou")
"""The fields of `Settings` that have a slider on the page."""

COMPARE_KEY: Final = "tune.compare_with"
"""Key of the choice of what the sliders are compared with."""

PINNED_TITLE: Final = "B: saved settings"

MIN_FACE_SLIDER_END_PX: Final = 120
"""End of the slider for the minimum face size, unless the settings exceed it."""

FaceKey: TypeAlias = tuple[int, int]
"""Image and face index of a face of a draft."""

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class SliderValues:
    """Values of the sliders.

    Attributes:
        settings: the thresholds.
        min_iou: minimum IoU of a box with a ground-truth face for a match.
        calibrated: whether confidences are calibrated with the fitted temperature.
    """

    settings: Settings
    min_iou: float = MIN_IOU
    calibrated: bool = False


@dataclass(eq=False)
class TuningSet:
    """The predictions of one analyzer on a dataset, and a cache of results.

    Attributes:
        evaluator: evaluates the predictions; may be shared with other visitors.
        images: the images; None for stored predictions.
        classified_by: name of the classifier and whether refinement was on; None if
            unknown, as for uploaded predictions.
    """

    evaluator: Evaluator
    images: ImageStore | None = None
    classified_by: tuple[str, bool] | None = None
    _cache: OrderedDict[Any, Any] = field(default_factory=OrderedDict)

    @property
    def predictions(self) -> AnalyzerPredictions:
        """The predictions of the analyzer."""
        return self.evaluator.predictions

    def evaluate(self, sliders: SliderValues) -> EvaluationResult:
        """Evaluate the predictions at the settings of the sliders."""
        temperature = self.calibration_fit.temperature if sliders.calibrated else 1.0
        return self.get_cached(
            ("outcome", sliders),
            lambda: self.evaluator(
                sliders.settings, min_iou=sliders.min_iou, temperature=temperature
            ),
        )

    @property
    def calibration_fit(self) -> calibration.CalibrationFit:
        """The calibration of the set, fitted once, at the default settings."""
        return self.get_cached(
            "fitted", lambda: calibration.fit_calibration(self.evaluator(Settings()))
        )

    def get_cached(self, key: Any, compute: Callable[[], _Value]) -> _Value:
        """Return the cached value of `key`, computing it on the first call."""
        if key not in self._cache:
            self._cache[key] = compute()
        self._cache.move_to_end(key)
        while len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        return cast(_Value, self._cache[key])


@dataclass(eq=False)
class TuneState:
    """Tuning state of one visitor.

    Attributes:
        sliders: current values of the sliders.
        baseline: settings of Live that the sliders were last set from.
        previous: values before the last change, or None.
        pinned: values saved as B for a comparison, or None.
        proposal: the settings suggested for a goal, or None.
        tuning_sets: by name, the sets of the visitor, one per dataset and analyzer.
        uploaded_scores: names of the sets of uploaded predictions, newest last.
        set_key: SHA-256 of the uploaded dataset and its class mapping.
        upload_keys: SHA-256 of each upload, by the IDs of its files.
        dataset: the imported dataset, or None.
        import_error: why the import failed, in one line; may be empty.
        archive: name and content of the upload, for another import.
        class_name_counts: number of faces by class name of the dataset.
        class_mapping: class name of the dataset to class, as in `ClassNames.own`.
        needs_reload: whether the class mapping changed since the last import.
        detection_cache: detections of the analyzers in the images of the dataset.
        running: title of the set that an analyzer is running on, or empty.
        scoring_error: why the run failed, in one line; may be empty.
        n_scored: number of images analyzed before the run was stopped.
        draft: images being labelled, or None.
        draft_history: earlier drafts, and the face whose label changed next; the
            newest last.
        labelled_face: the face shown for labelling; None for the first one.
        label_steps: number of labelling steps so far.
        annotated: key and dataset made of the labels, or None.
        n_cards: number of faces shown in the gallery.
    """

    sliders: SliderValues
    baseline: Settings
    previous: SliderValues | None = None
    pinned: SliderValues | None = None
    proposal: Proposal | None = None
    tuning_sets: dict[str, TuningSet] = field(default_factory=dict)
    uploaded_scores: list[str] = field(default_factory=list)
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
    draft_history: list[tuple[Draft, FaceKey | None]] = field(default_factory=list)
    labelled_face: FaceKey | None = None
    label_steps: int = 0
    annotated: tuple[str, ImportedDataset] | None = None
    n_cards: int = 12

    def set_sliders(self, sliders: SliderValues) -> None:
        """Set the sliders, and remember their previous values."""
        if sliders != self.sliders:
            self.previous, self.sliders = self.sliders, sliders

    def undo(self) -> None:
        """Undo the last change of the sliders."""
        self.set_sliders(self.previous or self.sliders)

    def pin(self) -> None:
        """Save the sliders as B."""
        self.pinned = self.sliders

    def drop_proposal(self) -> None:
        """Drop the settings suggested for a goal."""
        self.proposal = None

    def drop_set(self, set_key: str) -> None:
        """Drop all sets whose name begins with the key."""
        for title in [name for name in self.tuning_sets if name.startswith(set_key)]:
            del self.tuning_sets[title]

    def add_uploaded_scores(self, name: str, tuning_set: TuningSet) -> None:
        """Add the set of uploaded predictions; drop the oldest ones over the limit."""
        self.tuning_sets[name] = tuning_set
        self.uploaded_scores.append(name)
        while len(self.uploaded_scores) > _MAX_UPLOADED_SCORES:
            self.drop_set(self.uploaded_scores.pop(0))

    def drop_uploaded_scores(self) -> None:
        """Drop the sets of all uploaded predictions."""
        for name in self.uploaded_scores:
            self.drop_set(name)
        self.uploaded_scores.clear()

    def set_settings(self, settings: Settings) -> None:
        """Set only the thresholds."""
        self.set_sliders(dataclasses.replace(self.sliders, settings=settings))


def get_state() -> TuneState:
    """Return the state of the visitor; the sliders follow changes on Live."""
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
    """Round and clamp the settings to what the sliders can show."""
    return dataclasses.replace(
        settings,
        min_score=max(MIN_STORED_SCORE, round(settings.min_score, 2)),
        min_confidence=round(settings.min_confidence, 2),
        min_face_px=max(1.0, round(settings.min_face_px)),
        nms_iou=round(settings.nms_iou, 2),
    )


def sync_sliders(state: TuneState, *, force: bool = False) -> None:
    """Write the state to the sliders; call it before they are drawn.

    Args:
        state: the state.
        force: write values that have not changed, too. A run of the whole page needs
            this; in a fragment it would pull back a slider that is being dragged.
    """
    sliders = state.sliders
    settings = {
        f"tune.{name}": getattr(sliders.settings, name) for name in SLIDER_FIELDS
    }
    values = {
        **settings,
        "tune.min_face_px": int(sliders.settings.min_face_px),
        "tune.min_iou": sliders.min_iou,
        "tune.calibrated": sliders.calibrated,
    }
    for key, value in values.items():
        if force or st.session_state.get(key) != value:
            st.session_state[key] = value


def on_slider_change() -> None:
    """Read the sliders into the state; callback of the sliders."""
    tune_state = get_state()
    state = st.session_state
    values = {name: state[f"tune.{name}"] for name in SLIDER_FIELDS}
    settings = dataclasses.replace(tune_state.sliders.settings, **values)
    tune_state.set_sliders(
        SliderValues(settings, state["tune.min_iou"], state["tune.calibrated"])
    )
