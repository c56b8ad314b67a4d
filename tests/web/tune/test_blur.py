"""The Tune page where faces are to be blurred, without a browser."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.tuning.operating_point import Evaluator
from maskdet.types import Image
from maskdet.web.tune.gallery import FaceCard, face_cards_html
from maskdet.web.tune.tune_state import SliderValues, TuningSet
from tests.helpers.tune_page import (
    open_tune_page,
    page_texts,
    select_segment,
    use_fake_predictions,
)
from tests.helpers.tune_predictions import SIDE_PX, make_page_predictions


@dataclass
class Noisy:
    """Images of nothing but noise."""

    def load_image(self, picture: int) -> Image:
        rng = np.random.default_rng(picture)
        fine = rng.integers(0, 255, (SIDE_PX, SIDE_PX, 3))
        return fine.astype(np.uint8)


def crop_of(html: str) -> Image:
    """Return the first face among the cards."""
    found = re.search(r"data:image/jpeg;base64,([^\"]+)", html)
    assert found is not None
    content = np.frombuffer(b64decode(found[1]), np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def roughness(image: Image) -> float:
    return float(np.median(np.abs(np.diff(image.astype(float), axis=1))))


def test_faces_of_the_gallery_are_coarse_if_wanted() -> None:
    material = TuningSet(Evaluator(make_page_predictions()), Noisy())  # type: ignore[arg-type]
    outcome = material.evaluate(SliderValues(Settings()))
    cards = [FaceCard(outcome.shown_face(0))]
    sharp = crop_of(face_cards_html(material, outcome, cards, Style()))
    coarse = crop_of(face_cards_html(material, outcome, cards, Style(), blur=True))
    again = crop_of(face_cards_html(material, outcome, cards, Style()))
    assert roughness(sharp) > 8
    assert roughness(coarse) < 3
    assert np.array_equal(sharp, again)


@pytest.mark.parametrize("blur", [False, True])
def test_labelling_says_that_it_shows_faces(
    monkeypatch: pytest.MonkeyPatch, blur: bool
) -> None:
    use_fake_predictions(monkeypatch)
    app = select_segment(open_tune_page(blur=str(blur).lower()), "where", "Label here")
    assert ("here they are not blurred" in page_texts(app)) == blur
