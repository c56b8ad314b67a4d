"""Highest-risk contact, contact times and floor image of the Live page."""

from __future__ import annotations

import cv2
import numpy as np

from maskdet.style import Style
from maskdet.types import Contact, Faces, PersonPair, Scene
from maskdet.web.distance import (
    StillImage,
    _render_still,
    distances_html,
)
from maskdet.web.live.state import LiveSnapshot
from tests.helpers.analyzed_images import make_ramp_image


def view(*pairs: PersonPair, contacts=()) -> LiveSnapshot:
    scene = Scene(
        Faces(np.tile([10.0, 10, 40, 50], (3, 1)), np.full(3, 0.9)),
        np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.9, 0.05]], np.float32),
        track_ids=np.array([4, 7, 9]),
        min_confidence=0.6,
        pairs=pairs,
        contacts=contacts,
    )
    return LiveSnapshot(make_ramp_image(), scene)


def contact(first_id: int, second_id: int, total_s: float) -> Contact:
    return Contact(first_id, second_id, 0.0, total_s, 30.0, 0.0, 0.8, "m", False)


MASKED_AND_UNMASKED = PersonPair(
    0, 1, 0.8, "m", in_contact=True, contact_s=12.4, exceeds_limit=True
)
BOTH_UNMASKED = PersonPair(
    1, 2, 1.2, "m", in_contact=True, contact_s=1.0, exceeds_limit=False
)
APART = PersonPair(0, 2, 2.9, "m", in_contact=False, contact_s=0.0, exceeds_limit=False)


def test_the_pair_over_the_limit_comes_first() -> None:
    html = distances_html(view(MASKED_AND_UNMASKED, BOTH_UNMASKED, APART), Style())
    assert "<b>#4 Mask and #7 No mask</b><b>0.8 m</b>" in html
    assert "In contact for 12 s" in html
    assert "<dt>Close pairs</dt><dd>2</dd>" in html
    assert "<dt>Over the limit</dt><dd>1</dd>" in html
    assert "<dt>Contact time</dt><dd>0 s</dd>" in html


def test_without_a_close_pair_there_is_no_unmasked_contact() -> None:
    html = distances_html(view(APART), Style())
    assert "No unmasked close contacts." in html
    assert "<dt>Close pairs</dt><dd>0</dd>" in html


def test_contact_times_are_listed_longest_first() -> None:
    contacts = tuple(contact(1, n, 100.0 - n) for n in range(2, 11))
    html = distances_html(view(contacts=contacts), Style())
    assert "<dt>Contact time</dt><dd>14 min 6 s</dd>" in html
    assert "<span>#1 and #2</span><span>total 1 min 38 s, longest 30 s</span>" in html
    assert "#1 and #7" in html
    assert "#1 and #8" not in html
    assert "and 3 more pairs" in html


def test_without_ids_no_person_is_named() -> None:
    contacts = (contact(4, 7, 60.0),)
    html = distances_html(
        view(MASKED_AND_UNMASKED, contacts=contacts), Style(ids=False)
    )
    assert "<b>Mask and No mask</b>" in html
    assert "#4" not in html
    assert "<dd>1 min 0 s</dd>" in html


def pixels(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_the_floor_image_is_scaled_down_and_blurred_if_blur_is_on() -> None:
    board = (np.indices((800, 1600)).sum(axis=0) // 10 % 2 * 200).astype(np.uint8)
    large = np.stack([board] * 3, axis=2)
    faces = np.array([[400.0, 200, 560, 400]], np.float32)
    sharp = pixels(_render_still(StillImage(large, faces), Style()))
    assert sharp.shape == (480, 960, 3)
    coarse = pixels(_render_still(StillImage(large, faces), Style(blur=True)))
    off = np.abs(sharp.astype(int) - coarse).max(axis=2)
    assert off[130:230, 250:330].mean() > 50
    assert off[:, 600:].mean() < 5
