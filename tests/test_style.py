"""Tests of the drawing style: palettes, captions, class names and validation."""

from __future__ import annotations

import dataclasses
import json
import re
from itertools import combinations

import cv2
import numpy as np
import pytest

from maskdet.style import (
    PALETTES,
    Palette,
    Style,
    colour_bgr,
    contrast_ratio,
    format_face_caption,
    format_pair_caption,
    format_percent,
    is_drawable,
    text_colour_bgr,
    to_display_percent,
    uncapitalize,
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
def test_text_has_the_contrast_that_wcag_requires(
    label: Label, palette: Palette
) -> None:
    colour = colour_bgr(label, palette)
    assert contrast_ratio(colour, text_colour_bgr(colour)) >= 4.5


def test_contrast_agrees_with_published_values() -> None:
    assert contrast_ratio((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast_ratio((118, 118, 118), (255, 255, 255)) == pytest.approx(
        4.54, abs=0.01
    )
    assert contrast_ratio((0, 0, 255), (255, 255, 255)) == pytest.approx(4.0, abs=0.01)


def simulate_lab(bgr: tuple[int, int, int], kind: str) -> np.ndarray:
    """Return the CIE Lab colour as seen with this colour vision."""
    rgb = np.array(bgr[::-1]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    simulated = np.clip(np.array(COLOUR_VISION[kind]) @ linear, 0, 1)
    srgb = np.where(
        simulated <= 0.0031308,
        simulated * 12.92,
        1.055 * simulated ** (1 / 2.4) - 0.055,
    )
    pixel = srgb[None, None, ::-1].astype(np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_BGR2LAB)[0, 0]


def smallest_difference(palette: Palette, kind: str) -> float:
    return min(
        float(
            np.linalg.norm(
                simulate_lab(colour_bgr(a, palette), kind)
                - simulate_lab(colour_bgr(b, palette), kind)
            )
        )
        for a, b in combinations(Label, 2)
    )


@pytest.mark.parametrize("kind", COLOUR_VISION)
def test_the_colour_blind_palette_is_distinguishable(kind: str) -> None:
    assert smallest_difference("colour-blind", kind) > 25


def test_the_classic_palette_is_not_distinguishable_for_protans() -> None:
    assert smallest_difference("classic", "protan") < 15


@pytest.mark.parametrize(
    ("style", "text"),
    [
        (Style(), "Incorrect 88 %"),
        (Style(percentages=False), "Incorrect"),
        (Style(labels=False), "88 %"),
        (Style(labels=False, percentages=False), ""),
    ],
)
def test_face_caption_follows_the_style(style: Style, text: str) -> None:
    assert format_face_caption(Label.INCORRECT, 0.88, style) == text


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
def test_face_caption_of_a_track(
    style: Style, track_id: int, unseen_s: float, text: str
) -> None:
    written = format_face_caption(
        Label.MASK, 0.97, style, track_id=track_id, unseen_s=unseen_s
    )
    assert written == text


@pytest.mark.parametrize(
    ("distance", "unit", "contact_s", "exceeds_limit", "text"),
    [
        (1.24, "m", 2.0, False, "1.2 m"),
        (5.4, "heads", 0.0, False, "5 heads"),
        (0.9, "heads", 0.0, False, "1 head"),
        (1.24, "m", 41.0, True, "1.2 m, 41 s"),
        (1.24, "m", 181.0, True, "1.2 m, 3 min"),
    ],
)
def test_pair_caption(
    distance: float, unit: str, contact_s: float, exceeds_limit: bool, text: str
) -> None:
    pair = PersonPair(
        0,
        1,
        distance,
        unit,
        in_contact=True,
        contact_s=contact_s,
        exceeds_limit=exceeds_limit,
    )
    assert format_pair_caption(pair) == text


@pytest.mark.parametrize("percent", [0, 29, 57, 97, 98, 100])
def test_percentages_of_32_bit_numbers_round_to_themselves(percent: int) -> None:
    text = format_face_caption(Label.MASK, float(np.float32(percent / 100)))
    assert text == f"Mask {percent} %"


def test_a_style_survives_a_json_round_trip() -> None:
    style = Style(
        palette="colour-blind",
        boxes=False,
        blur=True,
        scale=1.5,
        class_names={"mask": "Masque porté"},
        class_colours={"unknown": "#FF00aa"},
    )
    text = json.dumps(dataclasses.asdict(style))
    assert Style(**json.loads(text)) == Style.from_json(text) == style
    assert hash(style) == hash(Style.from_json(text))


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
        ("class_names", ["Mask"]),
        ("class_colours", "red"),
    ],
)
def test_an_invalid_style_is_rejected_with_name_and_value(
    field: str, value: object
) -> None:
    with pytest.raises(ValueError, match=field) as error:
        Style(**{field: value})  # type: ignore[arg-type]
    assert repr(value) in str(error.value)


def test_css_and_bgr_colours_agree() -> None:
    for palette in PALETTES:
        for label in Label:
            blue, green, red = colour_bgr(label, palette)
            assert int(Style(palette=palette).colour_css(label)[1:], 16) == (
                red << 16 | green << 8 | blue
            )


CUSTOM_STYLE = Style(
    class_names={"no_mask": "  Unmasked face ", "unknown": "Collecting info"},
    class_colours={"mask": "#0000FF"},
)


def test_custom_names_and_colours_replace_the_defaults_of_their_class() -> None:
    assert [CUSTOM_STYLE.title(label) for label in Label] == [
        "Mask",
        "Unmasked face",
        "Incorrect",
        "Collecting info",
    ]
    assert CUSTOM_STYLE.colour_bgr(Label.MASK) == (255, 0, 0)
    assert CUSTOM_STYLE.colour_css(Label.MASK) == "#0000ff"
    assert CUSTOM_STYLE.colour_bgr(Label.NO_MASK) == colour_bgr(Label.NO_MASK)
    assert (
        format_face_caption(Label.NO_MASK, 0.97, CUSTOM_STYLE) == "Unmasked face 97 %"
    )
    unsure = format_face_caption(
        Label.UNKNOWN, 0.58, CUSTOM_STYLE, likeliest=Label.NO_MASK
    )
    assert unsure == "Collecting info (58 % unmasked face)"


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ({"mask": ""}, "mask must be 1 to 24 letters of any script"),
        ({"mask": "   "}, "mask must be 1 to 24 letters of any script"),
        ({"mask": "x" * 25}, "mask must be 1 to 24 letters of any script"),
        ({"mask": 7}, "mask must be 1 to 24 letters of any script"),
        ({"mask": "<b>Mask</b>"}, "mask must be 1 to 24 letters of any script"),
        ({"mask": "![a](http://b.c/d)"}, "mask must be 1 to 24 letters of any script"),
        ({"mask": ":red[Mask]"}, "mask must be 1 to 24 letters of any script"),
        ({"mask": "*Mask*"}, "mask must be 1 to 24 letters of any script"),
        ({"mask": "Mask\nNo mask"}, "mask must be 1 to 24 letters of any script"),
        ({"mask": "\u202e口罩"}, "mask must be 1 to 24 letters of any script"),
        (
            {"mask": "口罩", "no_mask": "Mask"},
            "'Mask' is the name of two classes in im",
        ),
        (
            {"mask": "口罩", "no_mask": "口罩"},
            "'口罩' is the name of two classes; names",
        ),
        ({"no_mask": "No FACE"}, "no_mask must not be 'No FACE', which has"),
        ({"mask": "..."}, "mask must be 1 to 24 letters of any script"),
        ({"masked": "Mask"}, "'masked' is not a class; classes are mask, no_mask"),
        ({"mask": "no MASK"}, "'no MASK' is the name of two classes"),
        ({"mask": "Porté", "unknown": "porté"}, "is the name of two classes"),
        ({"mask": "Porte\u0301", "unknown": "Porté"}, "is the name of two classes"),
        ({"unknown": "Mask"}, "'Mask' is the name of two classes"),
    ],
)
def test_an_invalid_class_name_is_rejected(names: dict[str, str], line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        Style(class_names=names)


@pytest.mark.parametrize(
    "name",
    [
        "Без маски",
        "マスクなし",
        "बिना मास्क",
        # Persian, with an invisible joiner
        "\u0628\u062f\u0648\u0646\u200c\u0645\u0627\u0633\u06a9",
        "😷",
        "Masque porté, FFP2",
    ],
)
def test_a_class_name_may_be_in_any_script(name: str) -> None:
    style = Style(class_names={"no_mask": name})
    assert style.title(Label.NO_MASK) == name
    assert Style.from_json(json.dumps(dataclasses.asdict(style))) == style


def test_images_use_default_names_if_letters_cannot_be_drawn() -> None:
    style = Style(class_names={"mask": "Porté", "no_mask": "口罩"}, scale=2.0)
    drawn = style.to_drawable()
    assert drawn == Style(class_names={"mask": "Porté"}, scale=2.0)
    assert drawn.substitution_note == Style().substitution_note == ""
    assert style.substitution_note.endswith(
        "Cyrillic letters; they show “No mask” for “口罩”"
    )


@pytest.mark.parametrize(
    ("title", "text"),
    [("No mask", "no mask"), ("FFP2", "FFP2"), ("Été", "été"), ("口罩", "口罩")],
)
def test_uncapitalize_keeps_abbreviations(title: str, text: str) -> None:
    assert uncapitalize(title) == text


@pytest.mark.parametrize(
    "colour", ["red", "#12345", "#1234567", "#00ff0g", "", 3, None]
)
def test_an_invalid_class_colour_is_rejected(colour: object) -> None:
    with pytest.raises(ValueError, match='mask must be a colour such as "#0072b2"'):
        Style(class_colours={"mask": colour})  # type: ignore[dict-item]


def test_class_names_may_be_swapped() -> None:
    style = Style(class_names={"mask": "No mask", "no_mask": "Mask"})
    assert style.title(Label.MASK) == "No mask"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "style is not valid JSON"),
        ("[]", "style must be a JSON object, not list"),
        ('{"color": 1}', "unknown setting 'color'; accepted are palette"),
    ],
)
def test_a_file_without_a_style_is_rejected(text: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        Style.from_json(text)


@pytest.mark.parametrize(
    ("name", "drawable"),
    [
        ("Masque porté, Straße, Łódź", True),
        ("Porte\u0301", True),
        ("Без маски", True),
        ("Χωρίς μάσκα", True),
        ("Không đeo khẩu trang", True),
        ("マスクなし", False),
        ("😷", False),
        ("a\nb", False),
    ],
)
def test_latin_greek_and_cyrillic_names_can_be_drawn(name: str, drawable: bool) -> None:
    assert is_drawable(name) is drawable


@pytest.mark.parametrize(
    ("fraction", "text", "number"),
    [
        (0.0, "0 %", 0.0),
        (0.0004, "<1 %", 1.0),
        (0.006, "1 %", 0.6),
        (0.5, "50 %", 50.0),
        (0.994, "99 %", 99.4),
        (0.996, ">99 %", 99.0),
        (float(np.float32(0.99999994)), ">99 %", 99.0),
        (1.0, "100 %", 100.0),
    ],
)
def test_only_exact_0_and_1_are_shown_as_0_and_100_percent(
    fraction: float, text: str, number: float
) -> None:
    assert format_percent(fraction) == text
    assert to_display_percent(fraction) == pytest.approx(number)


def test_the_caption_of_an_unknown_face_names_the_likeliest_class() -> None:
    caption = format_face_caption(Label.UNKNOWN, 0.999, likeliest=Label.MASK)
    assert caption == "Unsure (>99 % mask)"
    assert format_face_caption(Label.UNKNOWN, 0.58) == "Unsure"
    short_style = Style(labels=False)
    assert (
        format_face_caption(Label.UNKNOWN, 0.58, short_style, likeliest=Label.MASK)
        == "58 %"
    )
    style_without_percentages = Style(percentages=False)
    assert (
        format_face_caption(
            Label.UNKNOWN, 0.58, style_without_percentages, likeliest=Label.MASK
        )
        == "Unsure"
    )
