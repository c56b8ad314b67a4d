"""Maps, targets, images and a small network for single-stage training tests."""

from __future__ import annotations

import numpy as np

from maskdet.analyzers.onepass import N_CHANNELS, STRIDES_PX

LABELS = np.array([0, 1, 2, 0])
BOXES = np.array(
    [
        [10.2, 20.7, 21.4, 33.1],
        [60, 8, 110, 70],
        [0.5, 90, 120, 255],
        [200, 3, 208, 12],
    ],
    np.float32,
)


def make_blank_maps(side, n=1):
    """Return maps without faces and with small boxes everywhere."""
    maps = []
    for stride in (8, 16, 32):
        stride_map = np.zeros((n, side // stride, side // stride, 9), np.float32)
        stride_map[..., :2] = -4.0
        maps.append(stride_map)
    return maps


def make_target_rows(boxes, state=1.0, label=0):
    targets = np.zeros((1, len(boxes), 10), np.float32)
    targets[0, :, :4] = boxes
    targets[0, :, 4] = state
    targets[0, :, 5 + label] = 1.0
    targets[0, :, 8:] = 1.0
    return targets


def make_packed_image(boxes, labels=None):
    """Return a dim grey image of 160 x 120 with a bright patch for each face."""
    from maskdet.training.onepass.data import TrainingImage

    faces = np.array(boxes, np.float32).reshape(-1, 4)
    class_ids = np.zeros(len(faces), np.int64) if labels is None else np.array(labels)
    rng = np.random.default_rng(len(faces))
    image = rng.integers(60, 80, (120, 160, 3), dtype=np.uint8)
    for x1, y1, x2, y2 in faces.astype(int):
        image[y1:y2, x1:x2] += 130
    teacher_probs = np.full((len(faces), 3), np.nan, np.float32)
    return TrainingImage(
        image, faces, class_ids.astype(np.int64), teacher_probs, "town"
    )


def build_stand_in_network():
    """Build a network of one layer per stride that replaces the real one."""
    import keras

    image = keras.Input((None, None, 3), name="image")
    scaled = keras.layers.Rescaling(1 / 255)(image)
    maps = []
    for stride in (8, 16, 32):
        mean = keras.layers.AveragePooling2D(stride)(scaled)
        parts = [
            keras.layers.Conv2D(6, 1, name=f"find{stride}")(mean),
            keras.layers.Conv2D(3, 1, name=f"mask{stride}_logits")(mean),
        ]
        maps.append(keras.layers.Concatenate()(parts))
    return keras.Model(image, maps)


def encode_maps(boxes, labels, size_hw):
    """Return the maps of a perfect network: the inverse of decoding.

    Each face is in the cell that contains its centre, at the stride nearest to a
    quarter of its size. If two faces are in one cell, the later one is kept.

    Args:
        boxes: `(n, 4)` in pixels of the input, with their centres inside.
        labels: `(n,)` columns as in `CLASSES`.
        size_hw: height and width of the input, multiples of 32.

    Returns:
        Three maps `(h / s, w / s, 9)`.
    """
    maps = []
    for stride in STRIDES_PX:
        encoded = np.zeros((size_hw[0] // stride, size_hw[1] // stride, N_CHANNELS))
        encoded[..., :2] = -20.0
        maps.append(encoded.astype(np.float32))
    sides = boxes[:, 2:] - boxes[:, :2]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    ideal_levels = np.log2(np.sqrt(sides.prod(axis=1)) / (4 * STRIDES_PX[0]))
    levels = np.clip(np.rint(ideal_levels), 0, len(STRIDES_PX) - 1).astype(np.int64)
    for level, middle, side, label in zip(levels, middles, sides, labels, strict=True):
        stride = STRIDES_PX[level]
        column, row = (middle // stride).astype(np.int64)
        cell = maps[level][row, column]
        cell[:2] = 20.0
        cell[2:4] = middle / stride - (column, row)
        cell[4:6] = np.log(side / stride)
        cell[6 + int(label)] = 20.0
    return maps
