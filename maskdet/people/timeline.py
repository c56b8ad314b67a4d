"""`Timeline`: people by class and contacts over time, and the class of each person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.types import CLASSES, UNTRACKED, Label, Scene

_MAX_BINS: Final = 1200
"""More bins are not visible in a line chart; the bins of longer videos are longer."""

_MAX_SPANS: Final = 20_000
"""Beyond this number, the spans of the people who came first are dropped."""

_MIN_SPAN_S: Final = 0.2
"""A shorter change of the label is part of the span before it."""

_SPAN_GAP_S: Final = 0.5
"""A shorter absence does not end a span."""


@dataclass(frozen=True)
class TimelineBin:
    """A short part of a video.

    Examples:
        >>> first = maskdet.analyze_video("lobby.mp4", every=5).timeline[0]
        >>> first.start_s, first.length_s, sum(first.counts.values()) > 0
        (0.0, 1.0, True)

    Attributes:
        start_s: start time, in seconds.
        length_s: duration, in seconds.
        counts: mean number of people with each label.
        n_contacts: maximum number of pairs in contact at once.
        n_over_limit: maximum number of pairs at once whose contact exceeds the limit.
    """

    start_s: float
    length_s: float
    counts: dict[Label, float]
    n_contacts: int
    n_over_limit: int

    @property
    def mask_rate(self) -> float | None:
        """People with a mask divided by people with a known class; None without."""
        n_known = sum(self.counts[label] for label in CLASSES)
        return self.counts[Label.MASK] / n_known if n_known > 0 else None


@dataclass(frozen=True)
class LabelSpan:
    """A time in which a person has one label.

    Examples:
        >>> maskdet.analyze_video("lobby.mp4", every=5).label_spans[1][0].label.title
        'Incorrect'

    Attributes:
        start_s: start time, in seconds.
        end_s: end time, in seconds.
        label: the label.
    """

    start_s: float
    end_s: float
    label: Label


@dataclass
class _Span:
    start_s: float
    end_s: float
    label: Label


@dataclass
class _Bin:
    observed_s: float
    people_s: dict[Label, float]
    n_contacts: int = 0
    n_over_limit: int = 0


class Timeline:
    """Counts people over time in bins; keeps when who had a label.

    Memory is bounded, as a camera can run without end.
    """

    def __init__(self, max_bins: int = _MAX_BINS, *, keep_spans: bool = True) -> None:
        """Start with bins of one second; they are doubled when there are too many.

        Args:
            max_bins: maximum number of bins.
            keep_spans: whether to keep when who had a label, for `get_spans`.
        """
        self._max_bins, self._keep_spans = max_bins, keep_spans
        self._length_s = 1.0
        self._bins: dict[int, _Bin] = {}
        self._spans: dict[int, list[_Span]] = {}
        self._n_spans = 0

    def add(self, scene: Scene, weight_s: float) -> None:
        """Add a scene.

        Args:
            scene: the people and their pairs.
            weight_s: for how long it is shown, in seconds; more than 0.
        """
        index = int(scene.time_s // self._length_s)
        time_bin = self._bins.get(index)
        if time_bin is None:
            time_bin = self._bins[index] = _Bin(0.0, dict.fromkeys(Label, 0.0))
        time_bin.observed_s += weight_s
        for label, track_id in zip(
            scene.labels, np.asarray(scene.track_ids), strict=True
        ):
            if track_id != UNTRACKED:
                time_bin.people_s[label] += weight_s
                if self._keep_spans:
                    end_s = scene.time_s + weight_s
                    self._add_span(int(track_id), _Span(scene.time_s, end_s, label))
        time_bin.n_contacts = max(
            time_bin.n_contacts, sum(pair.in_contact for pair in scene.pairs)
        )
        time_bin.n_over_limit = max(
            time_bin.n_over_limit, sum(pair.exceeds_limit for pair in scene.pairs)
        )
        if len(self._bins) > self._max_bins:
            self._double_bin_length()

    def get_bins(self) -> tuple[TimelineBin, ...]:
        """Return the bins so far; those without a frame are left out."""
        return tuple(
            TimelineBin(
                index * self._length_s,
                self._length_s,
                {
                    label: label_s / time_bin.observed_s
                    for label, label_s in time_bin.people_s.items()
                },
                time_bin.n_contacts,
                time_bin.n_over_limit,
            )
            for index, time_bin in sorted(self._bins.items())
        )

    def get_spans(self) -> dict[int, tuple[LabelSpan, ...]]:
        """Return when each person had which label, by track ID, in order of time.

        It is empty unless spans are kept.
        """
        return {
            track_id: tuple(
                LabelSpan(span.start_s, span.end_s, span.label) for span in spans
            )
            for track_id, spans in self._spans.items()
        }

    def _add_span(self, track_id: int, span: _Span) -> None:
        """Add the label of a person in one scene, to the last span if it continues."""
        spans = self._spans.setdefault(track_id, [])
        if spans and span.start_s - spans[-1].end_s > _SPAN_GAP_S:
            spans.append(span)
            self._n_spans += 1
        elif spans and spans[-1].label is span.label:
            spans[-1].end_s = span.end_s
        else:
            if len(spans) > 1 and self._is_flicker(*spans[-2:]):
                flicker = spans.pop()
                spans[-1].end_s = flicker.end_s
                self._n_spans -= 1
                self._add_span(track_id, span)
                return
            spans.append(span)
            self._n_spans += 1
        while self._n_spans > _MAX_SPANS:
            first_id = next(iter(self._spans))
            self._n_spans -= len(self._spans.pop(first_id))

    @staticmethod
    def _is_flicker(before: _Span, last: _Span) -> bool:
        is_adjacent = last.start_s - before.end_s <= _SPAN_GAP_S
        return is_adjacent and last.end_s - last.start_s < _MIN_SPAN_S

    def _double_bin_length(self) -> None:
        old, self._bins = self._bins, {}
        self._length_s *= 2
        for index, old_bin in old.items():
            merged = self._bins.setdefault(index // 2, old_bin)
            if merged is not old_bin:
                merged.observed_s += old_bin.observed_s
                for label in Label:
                    merged.people_s[label] += old_bin.people_s[label]
                merged.n_contacts = max(merged.n_contacts, old_bin.n_contacts)
                merged.n_over_limit = max(merged.n_over_limit, old_bin.n_over_limit)
