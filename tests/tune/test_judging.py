from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from maskdet.metrics.calibration import with_temperature
from maskdet.metrics.detection import match_faces
from maskdet.tune.judging import (
    ACTUAL,
    FALSE_ALARM,
    MISSED,
    NEITHER,
    NO_FACE,
    SAID,
    UNSURE,
    Hit,
    Judge,
)
from maskdet.types import Faces, Label, Scene, Settings
from tests.tune.counting_fakes import (
    ELSEWHERE,
    A,
    B,
    C,
    Found,
    Real,
    by_chance,
    probs,
    scored,
)

MASK, BARE, WRONG, UNKNOWN = Label.MASK, Label.NO_MASK, Label.INCORRECT, Label.UNKNOWN
LAX = Settings(min_score=0, min_confidence=0, min_face_px=1, nms_iou=1)
SEVERAL = (
    Settings(),
    LAX,
    Settings(min_score=0.1, nms_iou=0.9, min_face_px=20, min_confidence=0.8),
    Settings(min_score=0, nms_iou=0, min_face_px=1),
    Settings(min_score=1, min_confidence=1),
)


def test_every_kind_of_answer_has_its_cell():
    judge = Judge(
        scored(
            [
                Real(0, A, MASK),
                Real(0, B, BARE),
                Real(1, A, WRONG),
                Real(1, B, UNKNOWN),
                Real(2, A, BARE),
            ],
            [
                Found(0, A, 0.9, probs(MASK)),
                Found(0, B, 0.8, probs(MASK)),
                Found(0, C, 0.7, probs(BARE, 0.5)),
                Found(1, A, 0.9, probs(WRONG, 0.5)),
                Found(1, B, 0.9, probs(MASK)),
                Found(2, A, 0.4, probs(BARE)),
            ],
            pictures=3,
        )
    )
    outcome = judge(Settings(min_score=0.5, min_confidence=0.6))
    assert ACTUAL == ("mask", "no_mask", "incorrect", "no_face")
    assert SAID == ("mask", "no_mask", "incorrect", "unsure", "missed")
    assert outcome.confusion.tolist() == [
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0],
    ]
    assert outcome.shown.tolist() == [0, 1, 2, 3, 4]
    assert outcome.said.tolist() == [MASK, MASK, UNKNOWN, UNKNOWN, MASK]
    assert outcome.truths.tolist() == [0, 1, FALSE_ALARM, 2, NEITHER]
    assert outcome.found.tolist() == [0, 1, 3, 4, -1]
    assert outcome.cell(BARE, MISSED) == (Hit(2, -1, 4),)
    assert outcome.cell(BARE, MASK) == (Hit(0, 1, 1),)
    assert outcome.cell(NO_FACE, UNSURE) == (Hit(0, 2, -1),)
    assert outcome.cell(NO_FACE, MISSED) == ()
    with pytest.raises(ValueError, match="no cell 4, 0"):
        outcome.cell(4, 0)


@pytest.mark.parametrize("equal_scores", [False, True])
@pytest.mark.parametrize("settings", SEVERAL)
@pytest.mark.parametrize("min_iou", [0.3, 0.5, 0.75])
def test_it_shows_what_a_scene_shows_and_matches_as_evaluation_does(
    equal_scores, settings, min_iou
):
    one = by_chance(1, equal_scores=equal_scores)
    outcome = Judge(one)(settings, min_iou=min_iou)
    labels = one.truth.labels
    for picture in range(len(one.truth.names)):
        found = np.flatnonzero(one.faces.pictures == picture)
        true = np.flatnonzero(one.truth.faces.pictures == picture)
        # A scene sorts its faces, so its rows are told by what they carry.
        order = found[np.argsort(-one.scores[found], kind="stable")]
        scene = Scene(
            Faces(one.faces.boxes[found], one.scores[found]),
            one.probs[order],
            track_ids=order,
        ).filter(settings)
        places = np.flatnonzero(one.faces.pictures[outcome.shown] == picture)
        assert sorted(scene.track_ids) == outcome.shown[places].tolist()
        said = dict(zip(scene.track_ids, scene.labels, strict=True))
        matched = match_faces(
            scene.faces,
            one.truth.faces.boxes[true],
            min_iou=min_iou,
            ignored=labels[true] == UNKNOWN,
        )
        wanted = {
            int(row): FALSE_ALARM if at < 0 else int(true[at])
            for row, at in zip(scene.track_ids, matched, strict=True)
        }
        for place in places:
            row = int(outcome.shown[place])
            assert outcome.said[place] == said[row]
            truth = wanted[row]
            unknown = truth >= 0 and labels[truth] == UNKNOWN
            assert outcome.truths[place] == (NEITHER if unknown else truth)


def test_every_true_face_of_known_class_is_counted_once_and_cells_hold_the_faces():
    one = by_chance(2)
    outcome = Judge(one)(Settings(min_score=0.3))
    classes = [(one.truth.labels == label).sum() for label in (MASK, BARE, WRONG)]
    assert outcome.confusion[:NO_FACE].sum(axis=1).tolist() == classes
    for actual in range(len(ACTUAL)):
        for said in range(len(SAID)):
            hits = outcome.cell(actual, said)
            assert len(set(hits)) == len(hits) == outcome.confusion[actual, said]
            assert all((hit.truth_row == -1) == (actual == NO_FACE) for hit in hits)
            assert all((hit.found_row == -1) == (said == MISSED) for hit in hits)


def test_a_true_face_too_small_to_be_shown_is_missed():
    judge = Judge(scored([Real(0, A, MASK)], [Found(0, A, 0.9, probs(MASK))]))
    assert judge(Settings(min_face_px=20)).confusion[MASK, MASK] == 1
    assert judge(Settings(min_face_px=21)).confusion[MASK, MISSED] == 1


def test_a_picture_of_one_face_is_answered_by_the_best_face_wherever_it_is():
    whole = (0, 0, 300, 300)
    judge = Judge(
        scored(
            [Real(0, whole, MASK), Real(1, whole, BARE), Real(2, whole, UNKNOWN)],
            [
                Found(0, A, 0.6, probs(BARE)),
                Found(0, B, 0.9, probs(MASK)),
                Found(2, A, 0.9, probs(MASK)),
                Found(3, A, 0.9, probs(MASK)),
            ],
            pictures=4,
            boxed=False,
        )
    )
    outcome = judge(Settings())
    # Nobody said what the fourth picture shows but no face: that one is an alarm.
    assert outcome.truths.tolist() == [NEITHER, 0, NEITHER, FALSE_ALARM]
    assert outcome.found.tolist() == [1, -1, 2]
    assert outcome.confusion.sum() == 3
    assert outcome.confusion[BARE, MISSED] == 1


def test_temperature_changes_confidence_and_never_the_likeliest_class():
    one = by_chance(3)
    plain, warm = (Judge(one)(LAX, temperature=t) for t in (1.0, 4.0))
    assert np.array_equal(plain.said, warm.said)
    assert np.allclose(warm.probs, with_temperature(plain.probs, 4.0))
    sure = dataclasses.replace(LAX, min_confidence=0.9)
    counts = [Judge(one)(sure, temperature=t).confusion[:, UNSURE] for t in (1, 4)]
    assert counts[1].sum() > counts[0].sum()


def test_some_pictures_are_judged_as_if_there_were_no_others():
    one = by_chance(4)
    judge, settings = Judge(one), Settings(min_score=0.2)
    half = np.arange(len(one.truth.names)) % 3 == 0
    parts = [judge.only(half)(settings), judge.only(~half)(settings)]
    whole = judge(settings)
    assert (parts[0].confusion + parts[1].confusion == whole.confusion).all()
    for part in parts:
        anew = Judge(part.scored)(settings)
        assert np.array_equal(anew.truths, part.truths)
        assert np.array_equal(anew.shown, part.shown)
    assert parts[0].scored.truth.names == tuple(one.truth.names[::3])
    with pytest.raises(ValueError, match=r"\(2,\) choices do not fit 30 pictures"):
        judge.only(np.ones(2, np.bool_))


def test_nothing_found_and_nothing_true():
    nothing = Judge(scored([], []))(Settings())
    assert nothing.confusion.sum() == 0
    missed = Judge(scored([Real(0, A, BARE)], []))(Settings())
    assert missed.confusion[BARE, MISSED] == missed.confusion.sum() == 1
    alarm = Judge(scored([], [Found(0, ELSEWHERE, 0.9, probs(MASK))]))(Settings())
    assert alarm.confusion[NO_FACE, MASK] == alarm.confusion.sum() == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"min_iou": 0}, "min_iou must be above 0"),
        ({"min_iou": 1.1}, "at most 1, not 1.1"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"temperature": float("nan")}, "temperature must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        Judge(scored([], []))(Settings(), **asked)
