"""Make the sample scenes of the Tune page with `python scripts/make_scenes.py`.

They are composed of two public-domain portraits (samples/CREDITS.md), with masks and
other objects rendered by `maskdet.synthetic` and drawn backgrounds, so boxes and
classes are known. They show what thresholds do; they do not measure accuracy. No
network is needed. Afterwards store the predictions of the analyzers:

    maskdet tune scores samples/scenes --out models/tune
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from maskdet.media import encode_jpeg, read_image
from maskdet.synthetic import OCCLUDERS, Mask, render_mask, render_occluder
from maskdet.synthetic.backgrounds import (
    CARTOON_KINDS,
    ROUND_OBJECT_KINDS,
    SIZE_WH,
    WALL_PATTERNS,
    draw_cartoon,
    draw_round_objects,
    draw_wall,
    simulate_camera,
)
from maskdet.types import Image, Label, Rng
from scripts.make_samples import (
    FACE_BOX,
    LANDMARKS,
    cut_out,
    load_portrait,
    segment_bust,
)

HOPPER = ROOT / "scripts" / "portraits" / "grace-hopper.jpg"
"""Official portrait of the US Navy."""

N_SCENES = 14
MAX_BYTES = 90_000
MIN_FACE_PX = 11.0
MAX_PER_TIER = 4
MAX_COVERED = 0.03
"""Largest part of a face that another person may cover."""

Mask2D = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A person without a mask.

    Attributes:
        image: the portrait, BGR.
        opacity: `(h, w)` of the person, 0 to 1.
        landmarks: `(5, 2)` as in `render_mask`.
        box: `(4,)` of the face.
    """

    image: Image
    opacity: Mask2D
    landmarks: NDArray[np.float64]
    box: NDArray[np.float64]


def load_portraits() -> tuple[Portrait, ...]:
    """Return both people."""
    collins, hopper = load_portrait(), read_image(HOPPER)
    return (
        Portrait(collins, segment_bust(collins), LANDMARKS, FACE_BOX),
        Portrait(
            hopper,
            _segment_hopper(hopper),
            # Marked by hand.
            np.array([[223.0, 193], [306, 189], [267, 230], [238, 278], [300, 276]]),
            np.array([180.0, 132, 352, 336]),
        ),
    )


def _segment_hopper(image: Image) -> Mask2D:
    """Return the opacity of the person, `(h, w)` 0 to 1."""
    labels = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    outline = [[10, 600], [28, 430], [70, 378], [195, 318], [150, 180], [150, 90]]
    outline += [[180, 40], [250, 18], [330, 40], [375, 95], [382, 200], [340, 310]]
    outline += [[480, 380], [512, 440], [512, 600]]
    cv2.fillPoly(labels, [np.array(outline)], cv2.GC_PR_FGD)
    cv2.ellipse(labels, (266, 225), (90, 120), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.ellipse(labels, (262, 85), (95, 50), 0, 0, 360, cv2.GC_FGD, -1)
    chest = [[30, 600], [60, 410], [210, 335], [325, 335], [480, 405], [500, 600]]
    cv2.fillPoly(labels, [np.array(chest)], cv2.GC_FGD)
    return cut_out(image, labels, 5)


def dress(portrait: Portrait, rng: Rng) -> tuple[Portrait, Label]:
    """Return the person with a mask, another object or nothing, and the class."""
    image, label = portrait.image, Label.NO_MASK
    kind = rng.choice(
        ["mask", "incorrect", "object", "nothing"], p=[0.4, 0.2, 0.1, 0.3]
    )
    if kind == "mask":
        label = Label.MASK
        mask = Mask.random(rng)
    elif kind == "incorrect":
        label = Label.INCORRECT
        mask = Mask.random(rng, "below_nose" if rng.random() < 0.6 else "chin")
    if kind in {"mask", "incorrect"}:
        image = render_mask(image, portrait.landmarks, mask, box=portrait.box, rng=rng)
    elif kind == "object":
        occluder = OCCLUDERS[rng.integers(len(OCCLUDERS))]
        image = render_occluder(
            image, portrait.landmarks, occluder, box=portrait.box, rng=rng
        )
    levels = 255 * (np.arange(256) / 255) ** float(np.exp(rng.normal(0, 0.3)))
    tint = 1 + rng.normal(0, 0.05, 3)
    lit = np.clip(cv2.LUT(image, levels.astype(np.uint8)) * tint, 0, 255)
    return replace(portrait, image=lit.astype(np.uint8)), label


def place(
    portrait: Portrait, face_px: float, centre: NDArray[np.float64], rng: Rng
) -> tuple[Image, Mask2D, NDArray[np.float64]]:
    """Return colours, opacity and face box of a person in a scene.

    Args:
        portrait: the person.
        face_px: width of the face.
        centre: of the face.
        rng: random generator of tilt and mirroring.
    """
    scale = face_px / (portrait.box[2] - portrait.box[0])
    middle = (portrait.box[:2] + portrait.box[2:]) / 2
    angle = float(np.clip(rng.normal(0, 7), -18, 18))
    transform = cv2.getRotationMatrix2D(tuple(middle), angle, scale)
    if rng.random() < 0.5:
        mirror = np.array([[-1.0, 0, 2 * middle[0]], [0, 1, 0], [0, 0, 1]])
        transform = transform @ mirror
    transform[:, 2] += centre - middle
    # Reduced first, as a warp to a small size would alias.
    blur = max(0.0, 0.45 / scale - 0.45)
    image, opacity = portrait.image, portrait.opacity
    if blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur)
        opacity = cv2.GaussianBlur(opacity, (0, 0), blur)
    colours = cv2.warpAffine(image, transform, SIZE_WH, flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(opacity, transform, SIZE_WH, flags=cv2.INTER_LINEAR)
    half = (portrait.box[2:] - portrait.box[:2]) / 2 * scale
    return colours, cover, np.concatenate([centre - half, centre + half])


def make_scene(
    number: int, portraits: tuple[Portrait, ...]
) -> tuple[Image, list[tuple[NDArray[np.float64], Label]]]:
    """Return people on the tiers of a hall, and box and class of each face."""
    rng = np.random.default_rng(number)
    scene = _draw_room(number, rng).astype(np.float32)
    wood = np.array([78.0, 104, 132]) * rng.uniform(0.7, 1.2)
    faces: list[tuple[NDArray[np.float64], Label]] = []
    for ledge_y, face_px in reversed(_list_tiers(float(rng.uniform(45, 130)))):
        for x in _list_places(face_px, rng):
            person, label = dress(portraits[rng.integers(len(portraits))], rng)
            size_px = face_px * rng.uniform(0.9, 1.1)
            y = ledge_y - rng.uniform(1.25, 1.45) * size_px
            for place_x in (x, *rng.uniform(face_px, SIZE_WH[0] - face_px, 8)):
                centre = np.array([place_x, y])
                colours, cover, box = place(person, size_px, centre, rng)
                if all(_covered(cover, other) <= MAX_COVERED for other, _ in faces):
                    scene += cover[..., None] * (colours - scene)
                    faces.append((box, label))
                    break
        # The bench before the people hides the lower edge of their portraits.
        shades = 1 - 0.35 * np.linspace(0, 1, SIZE_WH[1] - ledge_y)[:, None, None]
        scene[ledge_y:] = shades * wood
        scene[ledge_y : ledge_y + 3] = 1.25 * wood
    image = np.rint(np.clip(scene, 0, 255)).astype(np.uint8)
    return simulate_camera(image, rng), faces


def _list_tiers(face_px: float) -> list[tuple[int, float]]:
    """Return the edge of the bench and the size of the faces of each tier.

    Args:
        face_px: width of the faces of the first tier.
    """
    tiers, ledge_y = [], float(SIZE_WH[1])
    while face_px >= MIN_FACE_PX and ledge_y - 2.2 * face_px > 0:
        tiers.append((round(ledge_y), face_px))
        ledge_y -= 2.1 * face_px
        face_px *= 0.56
    return tiers


def _list_places(face_px: float, rng: Rng) -> list[float]:
    """Return where people of a tier are, from the left to the right."""
    width = SIZE_WH[0]
    n_max = max(1, min(MAX_PER_TIER, int(width / (3.2 * face_px))))
    n = int(rng.integers(max(1, n_max - 1), n_max + 1))
    step = width / n
    return [(i + 0.5 + rng.uniform(-0.18, 0.18)) * step for i in range(n)]


def _draw_room(number: int, rng: Rng) -> Image:
    """Return a wall; some have objects that a detector may take for a face."""
    if number % 4 == 0:
        wall = draw_round_objects(ROUND_OBJECT_KINDS[number % 5], rng)
    elif number % 4 == 1:
        wall = draw_cartoon(CARTOON_KINDS[number % 3], rng)
    else:
        wall = draw_wall(WALL_PATTERNS[number % len(WALL_PATTERNS)], rng)
    hsv = cv2.cvtColor(wall, cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 1] *= 0.45
    hsv[..., 2] = 60 + 0.7 * hsv[..., 2]
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)


def _covered(cover: Mask2D, box: NDArray[np.float64]) -> float:
    x1, y1, x2, y2 = np.clip(np.rint(box), 0, None).astype(int)
    part = cover[y1:y2, x1:x2]
    return float(part.mean()) if part.size else 1.0


def main() -> None:
    """Write the scenes and their labels."""
    parser = argparse.ArgumentParser(description="Make the scenes of the Tune page.")
    default = ROOT / "samples" / "scenes"
    parser.add_argument("--out", type=Path, default=default, metavar="DIR")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    portraits = load_portraits()
    images, annotations = [], []
    for number in range(1, N_SCENES + 1):
        image, faces = make_scene(number, portraits)
        content = encode_jpeg(image, 85)
        if len(content) > MAX_BYTES:
            sys.exit(f"scene {number} has {len(content)} bytes, more than {MAX_BYTES}")
        name = f"{number}.jpg"
        (out / name).write_bytes(content)
        images.append(
            {"id": number, "file_name": name, "width": SIZE_WH[0], "height": SIZE_WH[1]}
        )
        for box, label in faces:
            x, y, width, height = (*box[:2], *(box[2:] - box[:2]))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": [round(float(v), 1) for v in (x, y, width, height)],
                }
            )
    labels = (Label.MASK, Label.NO_MASK, Label.INCORRECT)
    categories = [{"id": int(label) + 1, "name": label.key} for label in labels]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    text = json.dumps(coco, indent=1) + "\n"
    (out / "_annotations.coco.json").write_text(text, encoding="utf-8")
    print(f"{out}: {len(images)} scenes, {len(annotations)} faces")


if __name__ == "__main__":
    main()
