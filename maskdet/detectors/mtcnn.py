"""MTCNN: a cascade of three small networks, run with OpenCV.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded
Convolutional Networks", 2016; weights of the `mtcnn` package. The package runs them
through Keras, with one TensorFlow call per layer, which is slow to start and slow per
frame. This module reads the weights without importing the package and converts them
to ONNX for OpenCV, which gives the same results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from maskdet.boxes import Boxes, clip_boxes, sizes_px
from maskdet.detectors import Landmarks
from maskdet.media import resize_image
from maskdet.types import Faces, Image, check_image

OnnxAttribute = int | str | Sequence[int]

_IR_VERSION = 8
_OPSET = 13

LayerWeights = list[NDArray[np.float32]]

Pooling = tuple[int, str] | None
"""Side and ONNX padding of a maximum pooling with stride 2; None for no pooling."""

# The weights are joblib archives, and loading one can run code, so only the three files
# of mtcnn 1.0.0 are accepted.
_SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}

_CELL_PX = 12  # side of P-Net's receptive field

_STRIDE_PX = 2  # stride of P-Net

# Size of the smallest face, at least that of a cell, in pixels of the resized image;
# half the size takes four times as long.
_MIN_FACE_PX = 16

_LONG_SIDE_RANGE_PX = (640, 1280)  # images outside are resized to the limit

_PYRAMID_FACTOR = 0.709  # between pyramid levels: half the area, as in the paper

# Chosen on the validation scenes by average precision and time. Lower thresholds gain
# less than 0.005 and take 50 % longer; fewer than 300 patches lose 0.01.
_MIN_SCORES = (0.6, 0.1, 0.03)

# Mean log odds of R-Net and O-Net at which half of the boxes are faces, counted over
# 17,000 boxes in 700 images of the training scenes; it becomes the score 0.5.
_EVEN_LOG_ODDS = 1.7

# MTCNN was trained on whole heads; the boxes of the mask data sets start lower, above
# the eyebrows, and end lower. Median shift of 1,570 matched boxes of the training
# scenes, as fractions of the box's width and height.
_BOX_SHIFT = np.array([0.02, 0.11, 0.02, 0.06], np.float32)


class OnnxGraph:
    """Builds an ONNX network layer by layer.

    Attributes:
        input: the name of the input, for the first layer.
    """

    input = "x"

    def __init__(self, shape: Sequence[int | str]) -> None:
        """Start with one float32 input.

        Args:
            shape: shape of the input; a string is a variable size.
        """
        self._source = _make_value_info(self.input, shape)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._outputs: list[Any] = []

    def add_layer(
        self,
        op: str,
        source: str,
        *weights: NDArray[np.float32] | NDArray[np.int64],
        **attributes: OnnxAttribute,
    ) -> str:
        """Add a layer and return the name of its output.

        Args:
            op: the ONNX operator.
            source: name of the input.
            *weights: further inputs, which are constant.
            **attributes: attributes of the operator, by their ONNX names.
        """
        name = f"{op}{len(self._nodes)}"
        inputs = [source]
        for array in weights:
            inputs.append(f"weight{len(self._weights)}")
            self._weights.append(numpy_helper.from_array(array, inputs[-1]))
        options: dict[str, Any] = dict(attributes)
        self._nodes.append(helper.make_node(op, inputs, [name], **options))
        return name

    def add_output(self, source: str, name: str, shape: Sequence[int | str]) -> None:
        """Make `source` an output of the network, called `name`."""
        self._nodes.append(helper.make_node("Identity", [source], [name]))
        self._outputs.append(_make_value_info(name, shape))

    def to_bytes(self) -> bytes:
        """Return the network as the content of an `.onnx` file."""
        graph = helper.make_graph(
            self._nodes, "graph", [self._source], self._outputs, self._weights
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        return bytes(model.SerializeToString())


def _make_value_info(name: str, shape: Sequence[int | str]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


class MTCNNStage:
    """One of the three networks; not thread-safe."""

    def __init__(self, onnx: bytes, outputs: Sequence[str]) -> None:
        """Load the network.

        Args:
            onnx: the content of an `.onnx` file.
            outputs: the names of the outputs, in the order `forward` returns them.
        """
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(onnx, np.uint8))
        self._outputs = list(outputs)

    def forward(self, blob: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the outputs for `(n, 3, h, w)` RGB values in [-1, 1]."""
        self._net.setInput(blob)
        return [np.asarray(output) for output in self._net.forward(self._outputs)]


def build_pnet() -> MTCNNStage:
    """Return P-Net: images to `box` `(n, 4, h, w)` and `face` `(n, 2, h, w)`."""
    weights = _load_weights("pnet")
    graph = OnnxGraph(("n", 3, "h", "w"))
    source = _add_convolutions(graph, weights, [(2, "SAME_UPPER"), None, None])
    for name in ("box", "face"):
        kernel, bias = weights.pop(0), weights.pop(0)
        head = graph.add_layer("Conv", source, _to_oihw(kernel), bias)
        graph.add_output(head, name, ("n", len(bias), "oh", "ow"))
    return MTCNNStage(graph.to_bytes(), ("box", "face"))


def build_rnet() -> MTCNNStage:
    """Return R-Net: `(n, 3, 24, 24)` patches to `box` `(n, 4)` and `face` `(n, 2)`."""
    pools: list[Pooling] = [(3, "SAME_UPPER"), (3, "VALID"), None]
    return _build_patch_network("rnet", 24, pools, ("box", "face"))


def build_onet() -> MTCNNStage:
    """Return O-Net: 48 px patches to `box`, `points` `(n, 10)` (x, then y), `face`."""
    pools: list[Pooling] = [(3, "SAME_UPPER"), (3, "VALID"), (2, "SAME_UPPER"), None]
    return _build_patch_network("onet", 48, pools, ("box", "points", "face"))


def _build_patch_network(
    name: str, side: int, pools: Sequence[Pooling], heads: Sequence[str]
) -> MTCNNStage:
    weights = _load_weights(name)
    graph = OnnxGraph(("n", 3, side, side))
    source = _add_convolutions(graph, weights, pools)
    # The network was trained on column-major images: width comes before height.
    source = graph.add_layer("Transpose", source, perm=(0, 3, 2, 1))
    source = graph.add_layer("Flatten", source)
    source = graph.add_layer("Gemm", source, weights.pop(0), weights.pop(0))
    source = graph.add_layer("PRelu", source, weights.pop(0))
    for head in heads:
        kernel, bias = weights.pop(0), weights.pop(0)
        graph.add_output(
            graph.add_layer("Gemm", source, kernel, bias), head, ("n", len(bias))
        )
    return MTCNNStage(graph.to_bytes(), heads)


def _add_convolutions(
    graph: OnnxGraph, weights: LayerWeights, pools: Sequence[Pooling]
) -> str:
    """Add the convolutions, removing their weights from the list; return the output."""
    source = graph.input
    for pool in pools:
        kernel, bias, slope = (weights.pop(0) for _ in range(3))
        source = graph.add_layer("Conv", source, _to_oihw(kernel), bias)
        source = graph.add_layer("PRelu", source, slope.reshape(-1, 1, 1))
        if pool is not None:
            side, padding = pool
            source = graph.add_layer(
                "MaxPool",
                source,
                kernel_shape=(side, side),
                strides=(2, 2),
                auto_pad=padding,
            )
    return source


def _to_oihw(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Transpose a Keras kernel `(h, w, in, out)` to the ONNX `(out, in, h, w)`."""
    return kernel.transpose(3, 2, 0, 1)


def _load_weights(name: str) -> LayerWeights:
    """Return the arrays of one network, in the order of its layers.

    Raises:
        FileNotFoundError: the package or its file is missing.
        RuntimeError: the file is not the one of mtcnn 1.0.0.
    """
    import joblib  # type: ignore[import-untyped]

    package = find_spec("mtcnn")
    origin = package.origin if package is not None else None
    path = Path(origin or "").parent / "assets" / "weights" / f"{name}.lz4"
    if origin is None or not path.is_file():
        raise FileNotFoundError(
            f"the mtcnn package with its {name}.lz4 is missing; "
            "install it with: pip install 'mtcnn==1.0.0'"
        )
    actual_sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual_sha256 != _SHA256[name]:
        raise RuntimeError(
            f"{path} is not the file of mtcnn 1.0.0: sha256 {actual_sha256[:12]}..., "
            f"expected {_SHA256[name][:12]}...; repair it with: "
            "pip install --force-reinstall 'mtcnn==1.0.0'"
        )
    return list(joblib.load(path))


def nms_opencv(
    boxes: Boxes, scores: NDArray[np.float32], max_iou: float, *, limit: int
) -> NDArray[np.int64]:
    """Select boxes by NMS with OpenCV, which is faster for thousands of boxes.

    Args:
        boxes: `(n, 4)` boxes in pixels.
        scores: `(n,)` scores.
        max_iou: as in `maskdet.boxes.nms`.
        limit: only this many boxes with the best scores are considered.

    Returns:
        Indices of the kept boxes, best score first.
    """
    corners_and_sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(
        corners_and_sides.astype(np.float64).tolist(),
        scores.tolist(),
        score_threshold=0.0,
        nms_threshold=max_iou,
        top_k=limit,
    )
    return np.asarray(kept, np.int64).reshape(-1)


_LEVEL_IOU, _PYRAMID_IOU, _REFINED_IOU, _FINAL_IOU = 0.4, 0.6, 0.7, 0.5
_LEVEL_LIMIT, _PATCH_LIMIT, _FACE_LIMIT = 1000, 300, 100


class MTCNN:
    """A detector of faces and five landmarks in each; thread-safe."""

    def __init__(self) -> None:
        """Load the networks and run them once.

        Raises:
            FileNotFoundError: the mtcnn package is missing.
            RuntimeError: its weights are not those of the pinned version.
        """
        self._proposals = build_pnet()
        self._refinement = build_rnet()
        self._output = build_onet()
        self._lock = Lock()
        self.detect(np.zeros((480, 640, 3), np.uint8))

    def detect(self, image: Image) -> Faces:
        """Return the faces in `image`; see `Detector.detect`."""
        return self.detect_landmarks(check_image(image))[0]

    def detect_landmarks(self, image: Image) -> tuple[Faces, Landmarks]:
        """Return the faces in `image` and the five landmarks of each."""
        height, width = image.shape[:2]
        long_side = max(width, height)
        scale = float(np.clip(long_side, *_LONG_SIDE_RANGE_PX)) / long_side
        with self._lock:
            levels = _build_half_pyramid(resize_image(image, scale))
            boxes = self._propose(levels)
            boxes, scores = self._refine(levels, boxes)
            boxes, scores, points = self._output_boxes(levels, boxes, scores)
        boxes = clip_boxes(boxes / scale, width, height)
        rows = np.flatnonzero(sizes_px(boxes) > 0)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        return Faces(boxes[rows], scores[rows]), points[rows] / np.float32(scale)

    def _propose(self, levels: list[Image]) -> Boxes:
        """Return the `(n, 4)` square proposals of P-Net."""
        proposals: list[tuple[Boxes, NDArray[np.float32]]] = []
        scale = _CELL_PX / _MIN_FACE_PX
        while min(levels[0].shape[:2]) * scale >= _CELL_PX:
            proposals.append(self._propose_at_scale(levels, scale))
            scale *= _PYRAMID_FACTOR
        if not proposals:
            return np.zeros((0, 4), np.float32)
        boxes = np.concatenate([boxes for boxes, _ in proposals])
        scores = np.concatenate([scores for _, scores in proposals])
        rows = nms_opencv(boxes, scores, _PYRAMID_IOU, limit=len(boxes))
        return _square_boxes(boxes[rows[:_PATCH_LIMIT]])

    def _propose_at_scale(
        self, levels: list[Image], scale: float
    ) -> tuple[Boxes, NDArray[np.float32]]:
        height, width = levels[0].shape[:2]
        size_wh = (round(width * scale), round(height * scale))
        depth = min(int(np.log2(1 / scale)), len(levels) - 1)
        blob = cv2.dnn.blobFromImage(
            cv2.resize(levels[depth], size_wh),
            1 / 128,
            mean=(127.5, 127.5, 127.5),
            swapRB=True,
        )
        shifts, logits = self._proposals.forward(blob.astype(np.float32, copy=False))
        faceness = _face_probs(logits[0].reshape(2, -1).T).reshape(logits.shape[2:])
        y, x = np.nonzero(faceness > _MIN_SCORES[0])
        corners = np.stack([x, y], axis=1).astype(np.float32) * _STRIDE_PX
        boxes = np.concatenate([corners, corners + _CELL_PX], axis=1)
        boxes += shifts[0][:, y, x].T * _CELL_PX
        scores = faceness[y, x]
        rows = nms_opencv(boxes, scores, _LEVEL_IOU, limit=_LEVEL_LIMIT)
        factors_xy = np.array([width / size_wh[0], height / size_wh[1]], np.float32)
        return boxes[rows] * np.tile(factors_xy, 2), scores[rows]

    def _refine(
        self, levels: list[Image], boxes: Boxes
    ) -> tuple[Boxes, NDArray[np.float32]]:
        """Return the boxes that pass R-Net, as squares, and its scores."""
        if not len(boxes):
            return boxes, np.zeros(0, np.float32)
        shifts, logits = self._refinement.forward(_crop_patches(levels, boxes, 24))
        scores = _face_probs(logits)
        rows = np.flatnonzero(scores > _MIN_SCORES[1])
        boxes, scores = _shift_boxes(boxes[rows], shifts[rows]), scores[rows]
        rows = nms_opencv(boxes, scores, _REFINED_IOU, limit=len(boxes))[:_FACE_LIMIT]
        return _square_boxes(boxes[rows]), scores[rows]

    def _output_boxes(
        self, levels: list[Image], boxes: Boxes, refine_scores: NDArray[np.float32]
    ) -> tuple[Boxes, NDArray[np.float32], Landmarks]:
        """Return O-Net's boxes and points, with scores from both networks.

        O-Net alone has false positives with high scores. The mean of the log odds of
        R-Net and O-Net has 0.03 more average precision than O-Net's score, which the
        package returns.
        """
        if not len(boxes):
            return boxes, refine_scores, np.zeros((0, 5, 2), np.float32)
        shifts, raw_points, logits = self._output.forward(
            _crop_patches(levels, boxes, 48)
        )
        log_odds = (_log_odds(_face_probs(logits)) + _log_odds(refine_scores)) / 2
        scores = (1 / (1 + np.exp(_EVEN_LOG_ODDS - log_odds))).astype(np.float32)
        relative_points = raw_points.reshape(-1, 2, 5).transpose(0, 2, 1)
        sides = boxes[:, None, 2:] - boxes[:, None, :2]
        points = boxes[:, None, :2] + relative_points * sides
        boxes = _shift_boxes(_shift_boxes(boxes, shifts), _BOX_SHIFT)
        rows = np.flatnonzero(scores > _MIN_SCORES[2])
        best = nms_opencv(boxes[rows], scores[rows], _FINAL_IOU, limit=_FACE_LIMIT)
        return boxes[rows[best]], scores[rows[best]], points[rows[best]]


def _face_probs(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the `(n,)` softmax of the second column of `(n, 2)` logits."""
    result: NDArray[np.float32] = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    return result


def _log_odds(probs: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(probs, 1e-5, 1 - 1e-5)  # beyond this, float32 rounds to 0 or 1
    result: NDArray[np.float32] = np.log(clipped / (1 - clipped))
    return result


def _shift_boxes(boxes: Boxes, shifts: NDArray[np.float32]) -> Boxes:
    """Return the boxes with each edge shifted by a fraction of the box's side."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    result: Boxes = (boxes + sides * shifts).astype(np.float32)
    return result


def _square_boxes(boxes: Boxes) -> Boxes:
    """Return squares with the same centres and the longer side, at least 1 px."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    halves = np.maximum(sides, 1) / 2
    corners = np.concatenate([centres - halves, centres + halves], axis=1)
    return corners.astype(np.float32, copy=False)


def _build_half_pyramid(image: Image) -> list[Image]:
    """Return the image at full, half, quarter, ... size, down to P-Net's cell size."""
    levels = [image]
    while max(levels[-1].shape[:2]) >= 2 * _CELL_PX:
        levels.append(resize_image(levels[-1], 0.5))
    return levels


def _crop_patches(levels: list[Image], boxes: Boxes, side: int) -> NDArray[np.float32]:
    """Return the `(n, 3, side, side)` network input of square boxes in `levels[0]`.

    Each is cropped from the level closest to its size, so that no pixel is skipped.
    Pixels outside the image are grey.
    """
    steps = (boxes[:, 2] - boxes[:, 0]) / side
    depths = np.log2(np.maximum(steps, 1)).astype(int).clip(0, len(levels) - 1)
    patches: list[Image] = []
    for (x, y), step, depth in zip(boxes[:, :2], steps, depths, strict=True):
        level_step = step / 2**depth
        offset = level_step / 2 - 0.5
        transform = np.array(
            [
                [level_step, 0, x / 2**depth + offset],
                [0, level_step, y / 2**depth + offset],
            ],
            np.float64,
        )
        patch = cv2.warpAffine(
            levels[depth],
            transform,
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderValue=(127, 127, 127),
        )
        patches.append(np.asarray(patch, np.uint8))
    blob = cv2.dnn.blobFromImages(
        patches, 1 / 128, mean=(127.5, 127.5, 127.5), swapRB=True
    )
    return np.asarray(blob, np.float32)
