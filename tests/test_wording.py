from __future__ import annotations

import pytest

from maskdet.wording import format_count


@pytest.mark.parametrize(
    ("n", "words", "text"),
    [
        (0, ("image",), "0 images"),
        (1, ("image",), "1 image"),
        (2, ("image",), "2 images"),
        (1200, ("image",), "1,200 images"),
        (1, ("person", "people"), "1 person"),
        (3, ("person", "people"), "3 people"),
        (1, ("event was", "events were"), "1 event was"),
    ],
)
def test_a_noun_agrees_with_its_number(n, words, text):
    assert format_count(n, *words) == text
