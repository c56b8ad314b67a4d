"""Colours that everyone can tell apart, words, and choices that are checked."""

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
    strip_accents,
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
def test_text_has_the_contrast_that_wcag_asks_for(
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
def test_what_is_written_about_people_who_are_followed(
    style: Style, track_id: int, unseen_s: float, text: str
) -> None:
    written = format_face_caption(
        Label.MASK, 0.97, style, track_id=track_id, unseen_s=unseen_s
    )
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
    assert format_pair_caption(pair) == text


@pytest.mark.parametrize("percent", [0, 29, 57, 97, 98, 100])
def test_percentages_of_32_bit_numbers_round_to_themselves(percent: int) -> None:
    text = format_face_caption(Label.MASK, float(np.float32(percent / 100)))
    assert text == f"Mask {percent} %"


def test_a_style_survives_json() -> None:
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
def test_a_bad_style_is_refused_by_name_and_value(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field) as refusal:
        Style(**{field: value})  # type: ignore[arg-type]
    assert repr(value) in str(refusal.value)


def test_pages_get_the_same_colour_as_pictures() -> None:
    for palette in PALETTES:
        for label in Label:
            blue, green, red = colour_bgr(label, palette)
            assert int(Style(palette=palette).colour_css(label)[1:], 16) == (
                red << 16 | green << 8 | blue
            )


OWN = Style(
    class_names={"no_mask": "  Bare face ", "unknown": "Collecting info"},
    class_colours={"mask": "#0000FF"},
)


def test_own_names_and_colours_replace_those_of_the_palette_class_by_class() -> None:
    assert [OWN.title(label) for label in Label] == [
        "Mask",
        "Bare face",
        "Incorrect",
        "Collecting info",
    ]
    assert OWN.colour_bgr(Label.MASK) == (255, 0, 0)
    assert OWN.colour_css(Label.MASK) == "#0000ff"
    assert OWN.colour_bgr(Label.NO_MASK) == colour_bgr(Label.NO_MASK)
    assert format_face_caption(Label.NO_MASK, 0.97, OWN) == "Bare face 97 %"
    unsure = format_face_caption(Label.UNKNOWN, 0.58, OWN, likeliest=Label.NO_MASK)
    assert unsure == "Collecting info (58 % bare face)"


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
            "'口罩' is the name of two classes; each",
        ),
        ({"no_mask": "No FACE"}, "no_mask must not be 'No FACE', which tables and"),
        ({"mask": "..."}, "mask must be 1 to 24 letters of any script"),
        ({"masked": "Mask"}, "'masked' is not a class; classes are mask, no_mask"),
        ({"mask": "no MASK"}, "'no MASK' is the name of two classes"),
        ({"mask": "Porté", "unknown": "porte"}, "is the name of two classes"),
        ({"unknown": "Mask"}, "'Mask' is the name of two classes"),
    ],
)
def test_a_bad_name_of_a_class_is_refused(names: dict[str, str], line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        Style(class_names=names)


@pytest.mark.parametrize(
    "name",
    [
        "Без маски",
        "マスクなし",
        "बिना मास्क",
        # Persian, with a joiner that nobody sees
        "\u0628\u062f\u0648\u0646\u200c\u0645\u0627\u0633\u06a9",
        "😷",
        "Masque porté, FFP2",
    ],
)
def test_a_name_may_be_of_any_script_and_survives_json(name: str) -> None:
    style = Style(class_names={"no_mask": name})
    assert style.title(Label.NO_MASK) == name
    assert Style.from_json(json.dumps(dataclasses.asdict(style))) == style


def test_images_have_the_usual_names_where_letters_cannot_be_drawn() -> None:
    style = Style(class_names={"mask": "Porté", "no_mask": "口罩"}, scale=2.0)
    drawn = style.to_drawable()
    assert drawn == Style(class_names={"mask": "Porté"}, scale=2.0)
    assert drawn.substitution_note == Style().substitution_note == ""
    assert style.substitution_note.endswith(
        "Latin letters: they have “No mask” for “口罩”"
    )


@pytest.mark.parametrize(
    ("title", "text"),
    [("No mask", "no mask"), ("FFP2", "FFP2"), ("Été", "été"), ("口罩", "口罩")],
)
def test_a_name_within_a_sentence_begins_small_unless_it_is_short_for_something(
    title: str, text: str
) -> None:
    assert uncapitalize(title) == text


@pytest.mark.parametrize(
    "colour", ["red", "#12345", "#1234567", "#00ff0g", "", 3, None]
)
def test_a_bad_colour_of_a_class_is_refused(colour: object) -> None:
    with pytest.raises(ValueError, match='mask must be a colour such as "#0072b2"'):
        Style(class_colours={"mask": colour})  # type: ignore[dict-item]


def test_names_may_be_exchanged() -> None:
    style = Style(class_names={"mask": "No mask", "no_mask": "Mask"})
    assert style.title(Label.MASK) == "No mask"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "style is not valid JSON"),
        ("[]", "style must be a JSON object, not list"),
        ('{"color": 1}', "unknown field 'color' of a style; known are palette"),
    ],
)
def test_a_file_that_holds_no_style_is_refused(text: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        Style.from_json(text)


def test_accents_are_drawn_as_plain_letters() -> None:
    assert strip_accents("Masque porté, Straße, Łódź") == "Masque porte, Strasse, Lodz"


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
def test_only_all_and_nothing_are_called_so(
    fraction: float, text: str, number: float
) -> None:
    assert format_percent(fraction) == text
    assert to_display_percent(fraction) == pytest.approx(number)


def test_an_unsure_face_says_what_it_most_likely_is() -> None:
    said = format_face_caption(Label.UNKNOWN, 0.999, likeliest=Label.MASK)
    assert said == "Unsure (>99 % mask)"
    assert format_face_caption(Label.UNKNOWN, 0.58) == "Unsure"
    short = Style(labels=False)
    assert (
        format_face_caption(Label.UNKNOWN, 0.58, short, likeliest=Label.MASK) == "58 %"
    )
    silent = Style(percentages=False)
    assert (
        format_face_caption(Label.UNKNOWN, 0.58, silent, likeliest=Label.MASK)
        == "Unsure"
    )
