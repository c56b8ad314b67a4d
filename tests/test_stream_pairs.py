"""Tests of pairs and contacts in a stream."""

from __future__ import annotations

import pytest

from maskdet.settings import Settings
from maskdet.streaming import Stream
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.streams import LEFT, MASK, NO_MASK, NOISE, play_script, turn_away

PAIR = Settings(distance="relative", contact_distance_m=1.0, contact_duration_s=1.0)
BESIDE = (110.0, 60.0, 170.0, 130.0)


def test_two_people_are_in_contact_and_then_exceed_the_limit() -> None:
    scenes = play_script(
        lambda _: [ScriptedFace(LEFT, MASK), ScriptedFace(BESIDE, NO_MASK)],
        3,
        settings=PAIR,
    )
    early, late = scenes[0.5].pairs[0], scenes[2.9].pairs[0]
    assert (early.first, early.second) == (late.first, late.second) == (0, 1)
    assert early.in_contact
    assert not early.exceeds_limit
    assert late.exceeds_limit
    assert late.contact_s > 2
    assert late.distance == pytest.approx(early.distance, rel=0.05)


def test_a_coasting_track_is_still_in_contact() -> None:
    scenes = play_script(
        lambda time_s: [*turn_away(time_s), ScriptedFace(BESIDE, NO_MASK)],
        2.5,
        settings=PAIR,
    )
    scene = scenes[2.0]
    assert scene.unseen_s.max() > 0.9
    assert scene.pairs[0].in_contact


def test_distance_is_off_by_default_and_restarts_when_enabled() -> None:
    analyzer = ScriptedAnalyzer(
        lambda _: [ScriptedFace(LEFT, MASK), ScriptedFace(BESIDE, NO_MASK)]
    )
    stream = Stream(analyzer)
    assert stream.step(NOISE, 0.0).pairs == ()
    for time_s in (0.3, 0.6, 0.9, 1.2, 1.5, 1.8):
        scene = stream.step(NOISE, time_s, PAIR)
    assert scene.pairs[0].exceeds_limit
    assert scene.positions.shape == (2, 2)
    (contact,) = scene.contacts
    assert (contact.first_id, contact.second_id) == tuple(sorted(scene.track_ids))
    assert contact.unmasked_s == contact.total_s > 0
    off = stream.step(NOISE, 2.0)
    assert (off.pairs, off.positions.shape) == ((), (0, 2))
    assert not stream.step(NOISE, 2.1, PAIR).pairs[0].exceeds_limit
