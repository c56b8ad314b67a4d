"""Tests of maskdet.drawing.text."""

import numpy as np
import pytest

from maskdet.drawing.text import draw_text, measure_text, render_text
from maskdet.style import BLACK, WHITE, is_drawable

# Not a character in any font.
MISSING = "\U0010ffff"


def make_canvas(width: int = 200, height: int = 60) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def render_glyph(char: str) -> bytes:
    return render_text([(char, 20)], (5, 35), (60, 50)).tobytes()


def test_the_font_has_all_characters_that_count_as_drawable() -> None:
    drawable = [chr(code) for code in range(0x20, 0x2100) if is_drawable(chr(code))]
    visible = [char for char in drawable if char.isprintable() and not char.isspace()]
    assert len(visible) > 500
    missing = render_glyph(MISSING)
    assert not [char for char in visible if render_glyph(char) == missing]


@pytest.mark.parametrize("cap_px", [8, 12, 40])
def test_capitals_have_the_given_height(cap_px: int) -> None:
    rows = np.flatnonzero(
        render_text([("HEI", cap_px)], (4, 60), (200, 80)).max(axis=1) > 0.3
    )
    assert rows[-1] + 1 == 60
    assert abs(rows[-1] + 1 - rows[0] - cap_px) <= 1


def test_text_is_as_wide_as_measured() -> None:
    canvas = make_canvas()
    draw_text(canvas, "No mask 97 %", (10, 40), 12, BLACK)
    columns = np.flatnonzero((canvas != 255).any(axis=(0, 2)))
    assert columns[0] >= 10
    assert columns[-1] <= 11 + measure_text("No mask 97 %", 12)


@pytest.mark.parametrize("origin", [(-20, 40), (190, 40), (10, -3), (10, 66), (400, 9)])
def test_text_across_the_border_is_cut_off(origin: tuple[float, float]) -> None:
    canvas, large = make_canvas(), make_canvas(800, 260)
    draw_text(canvas, "Incorrect", origin, 14, BLACK, edge_colour=(0, 0, 255))
    draw_text(
        large,
        "Incorrect",
        (origin[0] + 100, origin[1] + 100),
        14,
        BLACK,
        edge_colour=(0, 0, 255),
    )
    assert np.array_equal(canvas, large[100:160, 100:300])


def test_an_edge_makes_text_readable_on_its_own_colour() -> None:
    canvas = make_canvas()
    draw_text(canvas, "3", (50, 40), 20, WHITE, edge_colour=BLACK)
    assert (canvas == 0).all(axis=2).any()


@pytest.mark.parametrize("cap_px", [0.01, 0.5])
def test_the_smallest_text_is_harmless(cap_px: float) -> None:
    draw_text(make_canvas(), "Error", (0, 10), cap_px, BLACK)
