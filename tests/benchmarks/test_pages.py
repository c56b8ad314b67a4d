"""The benchmark of the pages, without a browser: what it finds and what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import pages
from benchmarks.pages import IMAGES_TILE, CannotMeasureError, Checkout


def fail(open_context: object, url: str) -> dict[str, float]:
    raise CannotMeasureError("no Start did come")


def succeed(open_context: object, url: str) -> dict[str, float]:
    return {"title": 1.0, "ready": 2.0}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("Image\n30\nImages\n70\nFaces", True),
        ("Images\n30\nFaces\n70", True),
        ("Drop images here: at most 30 images at once\n4\nImages", False),
        ("130\nImages", False),
    ],
)
def test_the_number_of_images_is_found_in_its_tile_only(
    text: str, matches: bool
) -> None:
    assert bool(IMAGES_TILE.search(text)) is matches


def test_times_are_printed_side_by_side_and_missing_ones_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(pages.MEASURES, "ready", succeed)
    monkeypatch.setitem(pages.MEASURES, "tune", fail)
    here, there = Checkout(Path("here")), Checkout(Path("there"))
    for is_warm_up in (True, False, False):
        pages.measure_once(here, "ready", object, is_warm_up=is_warm_up)
    pages.measure_once(here, "tune", object, is_warm_up=False)
    pages.print_table([here, there], ["ready", "tune"])
    table = capsys.readouterr().out
    assert "| ready | 2.00 (2.00 to 2.00, 2) | n/a |" in table
    assert "| slider, Tune | n/a | n/a |" in table
    assert "here: tune: no Start did come" in table
