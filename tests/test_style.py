"""Colours that everyone can tell apart, words, and choices that are checked."""

from __future__ import annotations

import dataclasses
import json
from itertools import combinations

import cv2
import numpy as np
import pytest

from maskdet.style import (
    PALETTES,
    Palette,
    Style,
    colour_bgr,
    colour_css,
    contrast,
    describe,
    describe_pair,
    ink_bgr,
)
from maskdet.types import UNTRACKED, Label, PersonPair

# Machado, Oliveira & Fernandes (2009), severity 1.0, for linear RGB.
COLOUR_VISION = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("label", list(Label))
def test_text_has_the_contrast_that_wcag_asks_for(
    label: Label, palette: Palette
) -> None:
    colour = colour_bgr(label, palette)
    assert contrast(colour, ink_bgr(colour)) >= 4.5


def test_contrast_agrees_with_published_values() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)
    assert contrast((0, 0, 255), (255, 255, 255)) == pytest.approx(4.0, abs=0.01)


def seen_lab(bgr: tuple[int, int, int], kind: str) -> np.ndarray:
    """The CIE Lab colour that a person with this colour vision sees."""
    rgb = np.array(bgr[::-1]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(COLOUR_VISION[kind]) @ linear, 0, 1)
    srgb = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    pixel = srgb[None, None, ::-1].astype(np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_BGR2LAB)[0, 0]


def closest(palette: Palette, kind: str) -> float:
    return min(
        float(
            np.linalg.norm(
                seen_lab(colour_bgr(a, palette), kind)
                - seen_lab(colour_bgr(b, palette), kind)
            )
        )
        for a, b in combinations(Label, 2)
    )


@pytest.mark.parametrize("kind", COLOUR_VISION)
def test_colour_blind_people_can_tell_the_safe_palette_apart(kind: str) -> None:
    assert closest("colour-blind", kind) > 25


def test_the_classic_palette_is_why_there_is_another() -> None:
    assert closest("classic", "protan") < 15


@pytest.mark.parametrize(
    ("style", "text"),
    [
        (Style(), "Incorrect 88 %"),
        (Style(percentages=False), "Incorrect"),
        (Style(labels=False), "88 %"),
        (Style(labels=False, percentages=False), ""),
    ],
)
def test_what_is_written(style: Style, text: str) -> None:
    assert describe(Label.INCORRECT, 0.88, style) == text


@pytest.mark.parametrize(
    ("style", "track_id", "unseen_s", "text"),
    [
        (Style(), 3, 0.0, "#3 Mask 97 %"),
        (Style(ids=False), 3, 0.0, "Mask 97 %"),
        (Style(), UNTRACKED, 0.0, "Mask 97 %"),
        (Style(), 3, 2.1, "#3 Mask, seen 2.1 s ago"),
        (Style(ids=False), 3, 2.14, "Mask, seen 2.1 s ago"),
        (Style(percentages=False), 0, 2.1, "#0 Mask, seen 2.1 s ago"),
        (Style(labels=False), 3, 2.1, "#3 2.1 s ago"),
        (Style(labels=False, percentages=False), 12, 2.1, "#12"),
        (Style(labels=False, percentages=False, ids=False), 12, 2.1, ""),
    ],
)
def test_what_is_written_about_people_who_are_followed(
    style: Style, track_id: int, unseen_s: float, text: str
) -> None:
    written = describe(Label.MASK, 0.97, style, track_id=track_id, unseen_s=unseen_s)
    assert written == text


@pytest.mark.parametrize(
    ("distance", "unit", "for_s", "too_long", "text"),
    [
        (1.24, "m", 2.0, False, "1.2 m"),
        (5.4, "heads", 0.0, False, "5 heads"),
        (0.9, "heads", 0.0, False, "1 head"),
        (1.24, "m", 41.0, True, "1.2 m, 41 s"),
        (1.24, "m", 181.0, True, "1.2 m, 3 min"),
    ],
)
def test_what_is_written_between_two_people(
    distance: float, unit: str, for_s: float, too_long: bool, text: str
) -> None:
    pair = PersonPair(
        0, 1, distance, unit, in_contact=True, contact_s=for_s, exceeds_limit=too_long
    )
    assert describe_pair(pair) == text


@pytest.mark.parametrize("percent", [0, 29, 57, 97, 98, 100])
def test_percentages_of_32_bit_numbers_round_to_themselves(percent: int) -> None:
    text = describe(Label.MASK, float(np.float32(percent / 100)))
    assert text == f"Mask {percent} %"


def test_a_style_survives_json() -> None:
    style = Style(palette="colour-blind", boxes=False, blur=True, scale=1.5)
    text = json.dumps(dataclasses.asdict(style))
    assert Style(**json.loads(text)) == style


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("palette", "sepia"),
        ("palette", None),
        ("boxes", 1),
        ("labels", "yes"),
        ("percentages", None),
        ("ids", 1),
        ("blur", "strong"),
        ("scale", 0.4),
        ("scale", 3.1),
        ("scale", float("nan")),
        ("scale", True),
        ("scale", "1"),
    ],
)
def test_a_bad_style_is_refused_by_name_and_value(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field) as refusal:
        Style(**{field: value})  # type: ignore[arg-type]
    assert repr(value) in str(refusal.value)


def test_pages_get_the_same_colour_as_pictures() -> None:
    for palette in PALETTES:
        for label in Label:
            blue, green, red = colour_bgr(label, palette)
            assert int(colour_css(label, palette)[1:], 16) == (
                red << 16 | green << 8 | blue
            )
