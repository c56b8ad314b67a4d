"""Make the images under samples/ with `python scripts/make_samples.py`.

`maskdet/web/live/example.jpg`, which stands in the place of the video, is the middle of
the group as `maskdet.draw` annotates it.

All of them are made from a public-domain portrait in scikit-image, with masks rendered
by `maskdet.synthetic`; no network is needed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import maskdet
from maskdet.media import encode_jpeg
from maskdet.synthetic import Mask, render_mask
from maskdet.types import Image

# Landmarks and box of the portrait, as detected by YuNet.
LANDMARKS = np.array(
    [[203.4, 103.6], [247.5, 104.4], [224.1, 127.7], [204.0, 143.1], [242.9, 143.7]]
)
FACE_BOX = np.array([178.1, 65.0, 269.5, 176.4])
MAX_BYTES = 200_000
EXAMPLE = ROOT / "maskdet" / "web" / "live" / "example.jpg"

SURGICAL = Mask("surgical")
DOTTED = Mask("cloth", "worn", (120, 60, 40), "dots", (235, 235, 235))
DARK = Mask("black", colour=(40, 36, 36))
UNDER_NOSE = Mask("surgical", "below_nose", (205, 214, 170))
ON_CHIN = Mask("cloth", "chin", (70, 60, 170))


@dataclass(frozen=True)
class Person:
    """Position and appearance of one person of the group.

    Attributes:
        x: centre of the bust, in pixels of the group image.
        top: upper edge of the portrait, in pixels of the group image.
        scale: size, 1 = as in the portrait.
        mask: the mask, or None.
        flipped: whether the portrait is mirrored.
        hue: hue shift of the suit, in the half degrees of OpenCV.
        gamma: below 1 brighter, above 1 darker.
    """

    x: int
    top: int
    scale: float
    mask: Mask | None
    flipped: bool = False
    hue: int = 0
    gamma: float = 1.0


# From the back to the front.
GROUP = (
    Person(90, 168, 0.62, None, hue=100, gamma=1.15),
    Person(345, 150, 0.66, DARK, flipped=True, hue=55),
    Person(590, 164, 0.63, UNDER_NOSE, hue=15, gamma=1.25),
    Person(830, 158, 0.64, DOTTED, flipped=True, hue=130),
    Person(200, 200, 1.02, SURGICAL, flipped=True, hue=105, gamma=0.95),
    Person(470, 214, 1.05, ON_CHIN, hue=0, gamma=1.1),
    Person(735, 196, 1.00, None, hue=75, gamma=1.1),
)


def load_portrait() -> Image:
    """Return Eileen Collins's portrait, `(512, 512, 3)` BGR."""
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def segment_bust(image: Image) -> NDArray[np.float32]:
    """Return the opacity of the person at each pixel, `(h, w)` 0 to 1."""
    labels = np.full(image.shape[:2], cv2.GC_PR_BGD, np.uint8)
    labels[:10] = labels[:, 480:] = labels[:190, :100] = labels[:190, 360:] = cv2.GC_BGD
    cv2.ellipse(labels, (224, 115), (95, 120), 0, 0, 360, cv2.GC_PR_FGD, -1)
    shoulders = [[60, 512], [70, 330], [160, 190], [300, 190], [430, 330], [440, 512]]
    cv2.fillPoly(labels, [np.array(shoulders)], cv2.GC_PR_FGD)
    cv2.ellipse(labels, (224, 105), (44, 62), 0, 0, 360, cv2.GC_FGD, -1)
    chest = [[120, 512], [130, 330], [195, 220], [262, 220], [350, 330], [360, 512]]
    cv2.fillPoly(labels, [np.array(chest)], cv2.GC_FGD)
    flag = [[0, 150], [122, 150], [100, 235], [52, 262], [30, 340], [0, 512]]
    cv2.fillPoly(labels, [np.array(flag)], cv2.GC_BGD)
    return cut_out(image, labels, 6)


def cut_out(
    image: Image, labels: NDArray[np.uint8], n_iterations: int
) -> NDArray[np.float32]:
    """Return the opacity of a person at each pixel, `(h, w)` 0 to 1.

    Args:
        image: the portrait.
        labels: `(h, w)` uint8 first guess, one of `cv2.GC_...` at each pixel; changed.
        n_iterations: iterations of `cv2.grabCut`.
    """
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, labels, None, *models, n_iterations, cv2.GC_INIT_WITH_MASK)
    person = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return cv2.GaussianBlur(cv2.erode(person, np.ones((3, 3))), (0, 0), 0.9)


def dress_person(image: Image, person: Person) -> Image:
    """Return the portrait with this person's suit, light and mask."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    suit = ((hsv[..., 0] < 16) | (hsv[..., 0] > 170)) & (hsv[..., 1] > 110)
    suit[:200] = False
    hsv[..., 0] = np.where(
        suit, (hsv[..., 0].astype(int) + person.hue) % 180, hsv[..., 0]
    )
    hsv[..., 1] = np.where(suit, hsv[..., 1] * 0.55, hsv[..., 1])
    levels = 255 * (np.arange(256) / 255) ** person.gamma
    result = cv2.LUT(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), levels.astype(np.uint8))
    if person.mask is None:
        return result
    return render_mask(result, LANDMARKS, person.mask, box=FACE_BOX)


def draw_hall(width: int, height: int) -> Image:
    """Return a bright hall with windows, out of focus."""
    rows = np.linspace(0, 1, height)[:, None, None]
    image = (215 - 70 * rows) * np.array([1.0, 0.99, 0.96]) * np.ones((1, width, 1))
    for left in range(30, width, 190):
        image[20:200, left : left + 130] = (250, 246, 236)
        image[20:200, left + 62 : left + 68] = (190, 190, 190)
    image[260:] *= 0.8
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 7)
    noise = np.random.default_rng(0).normal(0, 2, blurred.shape)
    return np.clip(blurred + noise, 0, 255).astype(np.uint8)


def draw_group(width: int = 960, height: int = 480) -> Image:
    """Return people in a hall, some with masks, some of them incorrectly worn."""
    image = load_portrait()
    outline = segment_bust(image)
    scene = draw_hall(width, height).astype(np.float32)
    for person in GROUP:
        colours, cover = dress_person(image, person), outline
        if person.flipped:
            colours, cover = colours[:, ::-1], cover[:, ::-1]
        size = round(512 * person.scale), round(512 * person.scale)
        interpolation_ = cv2.INTER_AREA if person.scale < 1 else cv2.INTER_CUBIC
        colours = cv2.resize(
            np.ascontiguousarray(colours), size, interpolation=interpolation_
        )
        cover = cv2.resize(
            np.ascontiguousarray(cover), size, interpolation=interpolation_
        )
        middle = 512 - 224 if person.flipped else 224
        x, y = person.x - round(middle * person.scale), person.top
        x1, x2 = max(x, 0), min(x + size[0], width)
        y1, y2 = max(y, 0), min(y + size[1], height)
        part = slice(y1 - y, y2 - y), slice(x1 - x, x2 - x)
        alpha = np.clip(cover[part], 0, 1)[..., None]
        scene[y1:y2, x1:x2] += alpha * (colours[part] - scene[y1:y2, x1:x2])
    return np.rint(np.clip(scene, 0, 255)).astype(np.uint8)


def make_samples() -> dict[str, Image]:
    """Return the images by file name."""
    no_mask = load_portrait()
    return {
        "portrait-bare.jpg": no_mask,
        "portrait-mask.jpg": render_mask(no_mask, LANDMARKS, SURGICAL, box=FACE_BOX),
        "portrait-below-nose.jpg": render_mask(
            no_mask, LANDMARKS, Mask("surgical", "below_nose"), box=FACE_BOX
        ),
        "group.jpg": draw_group(),
    }


def make_example(group: Path) -> Image:
    """Annotate the group, and cut out a 4:3 part that cuts off no face."""
    annotated = maskdet.draw(group, maskdet.analyze(group))
    return annotated[:, 256:896]


def main() -> None:
    """Write the samples."""
    parser = argparse.ArgumentParser(description="Make the images under samples/.")
    parser.add_argument("--out", type=Path, default=ROOT / "samples", metavar="DIR")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, image in make_samples().items():
        content = encode_jpeg(image, 88)
        if len(content) > MAX_BYTES:
            sys.exit(f"{name} has {len(content)} bytes, more than {MAX_BYTES}")
        (out / name).write_bytes(content)
        print(f"{out / name}  {len(content) / 1000:.0f} kB")
    if out == ROOT / "samples":
        EXAMPLE.write_bytes(encode_jpeg(make_example(out / "group.jpg"), 88))
        print(EXAMPLE)


if __name__ == "__main__":
    main()
