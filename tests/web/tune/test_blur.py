"""The Tune page with blurred faces, without a browser."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from maskdet.evaluation.operating_point import Evaluator
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import Image
from maskdet.web.tune.gallery import FaceCard, tune_cards_html
from maskdet.web.tune.tune_state import SliderValues, TuningSet
from tests.helpers.tune_page import (
    open_tune_page,
    page_texts,
    select_segment,
    use_fake_predictions,
)
from tests.helpers.tune_predictions import SIDE_PX, make_page_predictions


@dataclass
class NoiseImages:
    """Images of noise."""

    def load_image(self, image_index: int) -> Image:
        rng = np.random.default_rng(image_index)
        noise = rng.integers(0, 255, (SIDE_PX, SIDE_PX, 3))
        return noise.astype(np.uint8)


def first_crop(html: str) -> Image:
    """Return the crop of the first card."""
    match = re.search(r"data:image/jpeg;base64,([^\"]+)", html)
    assert match is not None
    content = np.frombuffer(b64decode(match[1]), np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def roughness(image: Image) -> float:
    return float(np.median(np.abs(np.diff(image.astype(float), axis=1))))


def test_faces_of_the_gallery_are_pixelated_with_blur() -> None:
    tuning_set = TuningSet(Evaluator(make_page_predictions()), NoiseImages())  # type: ignore[arg-type]
    outcome = tuning_set.evaluate(SliderValues(Settings()))
    cards = [FaceCard(outcome.shown_face(0))]
    sharp = first_crop(tune_cards_html(tuning_set, outcome, cards, Style()))
    blurred = first_crop(tune_cards_html(tuning_set, outcome, cards, Style(blur=True)))
    again = first_crop(tune_cards_html(tuning_set, outcome, cards, Style()))
    assert roughness(sharp) > 8
    assert roughness(blurred) < 3
    assert np.array_equal(sharp, again)


@pytest.mark.parametrize("blur", [False, True])
def test_the_labelling_view_says_that_faces_are_not_blurred(
    monkeypatch: pytest.MonkeyPatch, blur: bool
) -> None:
    use_fake_predictions(monkeypatch)
    app = select_segment(
        open_tune_page(blur=str(blur).lower()), "source", "Label images"
    )
    assert ("Faces are not blurred here" in page_texts(app)) == blur
