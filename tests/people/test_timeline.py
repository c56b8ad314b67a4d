"""The timeline of a video: people and contacts per time bin."""

from __future__ import annotations

import pytest

from maskdet.people import Timeline
from maskdet.people import timeline as timeline_module
from maskdet.types import UNTRACKED, Label
from tests.video.scenes import make_people_pair, make_people_scene

MASK, NO_MASK, INCORRECT, UNKNOWN = Label


def test_people_are_weighted_by_time_not_by_frame() -> None:
    timeline = Timeline()
    timeline.add(make_people_scene(0.0, [(1, MASK), (2, NO_MASK)]), 0.75)
    timeline.add(make_people_scene(0.75, [(1, MASK)]), 0.25)
    timeline.add(make_people_scene(1.0, [(1, UNKNOWN)]), 1.0)
    first, second = timeline.get_bins()
    assert (first.start_s, first.length_s) == (0.0, 1.0)
    assert first.counts == pytest.approx(
        {MASK: 1.0, NO_MASK: 0.75, INCORRECT: 0, UNKNOWN: 0}
    )
    assert first.mask_rate == pytest.approx(1 / 1.75)
    assert second.start_s == 1.0
    assert second.counts[UNKNOWN] == pytest.approx(1.0)
    assert second.mask_rate is None


def test_counts_do_not_depend_on_the_frame_rate() -> None:
    results = []
    for rate in (10, 30):
        timeline = Timeline()
        for index in range(3 * rate):
            time_s = index / rate
            labels = [(1, MASK)] if time_s < 1.5 else [(1, MASK), (2, INCORRECT)]
            timeline.add(make_people_scene(time_s, labels), 1 / rate)
        results.append([time_bin.counts for time_bin in timeline.get_bins()])
    for slow, fast in zip(*results, strict=True):
        assert slow == pytest.approx(fast, abs=1e-6)
    assert results[0][1][INCORRECT] == pytest.approx(0.5)


def test_untracked_faces_are_not_counted() -> None:
    timeline = Timeline()
    timeline.add(make_people_scene(0.0, [(UNTRACKED, MASK)]), 1.0)
    assert timeline.get_bins()[0].counts[MASK] == 0


def test_contacts_of_a_bin_are_the_maximum_at_once() -> None:
    labels = [(1, MASK), (2, MASK), (3, NO_MASK)]
    timeline = Timeline()
    pairs = [
        make_people_pair(0, 1, 0.5, exceeds_limit=True),
        make_people_pair(1, 2, 0.9),
        make_people_pair(0, 2, 3, in_contact=False),
    ]
    timeline.add(make_people_scene(0.0, labels, person_pairs=pairs), 0.1)
    timeline.add(make_people_scene(0.1, labels), 0.1)
    time_bin = timeline.get_bins()[0]
    assert (time_bin.n_contacts, time_bin.n_over_limit) == (2, 1)


def test_long_videos_have_longer_bins() -> None:
    timeline = Timeline(max_bins=8)
    for second in range(100):
        timeline.add(make_people_scene(float(second), [(1, MASK)] * (second % 2)), 1.0)
    bins = timeline.get_bins()
    assert len(bins) <= 8
    assert bins[0].length_s == 16.0
    assert sum(b.counts[MASK] * b.length_s for b in bins[:-1]) == pytest.approx(48)
    assert bins[0].counts[MASK] == pytest.approx(0.5)


def test_bins_without_a_frame_are_left_out() -> None:
    timeline = Timeline()
    timeline.add(make_people_scene(0.0), 1.0)
    timeline.add(make_people_scene(7.5), 1.0)
    assert [time_bin.start_s for time_bin in timeline.get_bins()] == [0.0, 7.0]
    assert Timeline().get_bins() == ()
    assert Label.UNKNOWN in Label


def add_labels(timeline: Timeline, labels: str, start_s: float = 0.0) -> None:
    """Add a scene of 0.1 s for each letter: M, N, I, U, or - for nobody."""
    by_letter = {label.title[0]: label for label in Label}
    for number, letter in enumerate(labels):
        people = [(1, by_letter[letter])] if letter != "-" else []
        scene = make_people_scene(start_s + number / 10, people)
        timeline.add(scene, 0.1)


def list_spans(timeline: Timeline, track_id: int = 1) -> list[tuple[float, ...]]:
    return [
        (round(span.start_s, 6), round(span.end_s, 6), span.label)
        for span in timeline.get_spans()[track_id]
    ]


def test_spans_tell_when_a_person_had_which_label() -> None:
    timeline = Timeline()
    add_labels(timeline, "UUUMMMMNNN")
    spans = [(0.0, 0.3, UNKNOWN), (0.3, 0.7, MASK), (0.7, 1.0, NO_MASK)]
    assert list_spans(timeline) == spans


def test_a_long_absence_ends_a_span_and_a_short_one_does_not() -> None:
    timeline = Timeline()
    add_labels(timeline, "MM---MM------MM")
    assert list_spans(timeline) == [(0.0, 0.7, MASK), (1.3, 1.5, MASK)]


def test_a_label_of_one_frame_is_no_span_of_its_own() -> None:
    timeline = Timeline()
    add_labels(timeline, "MMMUMMMUMMNNN")
    assert list_spans(timeline) == [(0.0, 1.0, MASK), (1.0, 1.3, NO_MASK)]


def test_people_without_a_track_id_have_no_spans() -> None:
    timeline = Timeline()
    timeline.add(make_people_scene(0.0, [(UNTRACKED, MASK), (4, MASK)]), 0.1)
    assert list(timeline.get_spans()) == [4]


def test_spans_are_kept_only_where_they_are_wanted() -> None:
    timeline = Timeline(keep_spans=False)
    add_labels(timeline, "MMNN")
    assert timeline.get_spans() == {}
    assert timeline.get_bins()[0].counts[MASK] == pytest.approx(0.5)


def test_the_number_of_spans_is_limited(monkeypatch) -> None:
    monkeypatch.setattr(timeline_module, "_MAX_SPANS", 5)
    timeline = Timeline()
    for number in range(20):
        timeline.add(make_people_scene(number / 10, [(number, MASK)]), 0.1)
    assert list(timeline.get_spans()) == [15, 16, 17, 18, 19]
