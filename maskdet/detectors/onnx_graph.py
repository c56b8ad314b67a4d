"""Write a small network as ONNX bytes, to run weights that we hold as plain arrays.

ONNX is a Protocol Buffers format: every field is a key (number and wire type) and a
value. Writing the few messages that a chain of layers needs takes less than a
package that can write them all. Field numbers are those of `onnx.proto3`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

OnnxAttribute = int | str | Sequence[int]

_IR_VERSION = 8
_OPSET = 13
_ONNX_FLOAT, _ONNX_INT64 = 1, 7


class OnnxGraph:
    """A network in the making: layers are added in the order they run."""

    def __init__(self, shape: Sequence[int | str]) -> None:
        """Start with one float32 input.

        Args:
            shape: of the input; a name stands for a size that may vary.
        """
        self._source = _encode_value_info(self.input, shape)
        self._nodes: list[bytes] = []
        self._weights: list[bytes] = []
        self._outputs: list[bytes] = []

    @property
    def input(self) -> str:
        """The name of the input, for the first layer."""
        return "x"

    def add_layer(
        self,
        op: str,
        source: str,
        *weights: NDArray[np.float32] | NDArray[np.int64],
        **attributes: OnnxAttribute,
    ) -> str:
        """Add a layer and return the name of what it puts out.

        Args:
            op: the ONNX operator.
            source: the name of what goes in.
            *weights: its further inputs, constant.
            **attributes: as the operator's documentation names them.
        """
        name = f"{op}{len(self._nodes)}"
        inputs = [source]
        for array in weights:
            inputs.append(f"weight{len(self._weights)}")
            self._weights.append(_encode_tensor(inputs[-1], array))
        fields = [_encode_field(1, each) for each in inputs]
        fields += [_encode_field(2, name), _encode_field(4, op)]
        fields += [
            _encode_field(5, _encode_attribute(*item)) for item in attributes.items()
        ]
        self._nodes.append(b"".join(fields))
        return name

    def add_output(self, source: str, name: str, shape: Sequence[int | str]) -> None:
        """Make `source` an output of the network, called `name`."""
        identity = (
            _encode_field(1, source)
            + _encode_field(2, name)
            + _encode_field(4, "Identity")
        )
        self._nodes.append(identity)
        self._outputs.append(_encode_value_info(name, shape))

    def to_bytes(self) -> bytes:
        """Return the network as the content of an `.onnx` file."""
        graph = b"".join(
            [
                *(_encode_field(1, node) for node in self._nodes),
                _encode_field(2, "graph"),
                *(_encode_field(5, tensor) for tensor in self._weights),
                _encode_field(11, self._source),
                *(_encode_field(12, output) for output in self._outputs),
            ]
        )
        opset = _encode_field(1, "") + _encode_field(2, _OPSET)
        return (
            _encode_field(1, _IR_VERSION)
            + _encode_field(7, graph)
            + _encode_field(8, opset)
        )


def _encode_varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written in two's complement
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _encode_field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _encode_varint(number << 3) + _encode_varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _encode_varint(number << 3 | 2) + _encode_varint(len(content)) + content


def _encode_attribute(name: str, value: OnnxAttribute) -> bytes:
    if isinstance(value, int):
        return _encode_field(1, name) + _encode_field(3, value) + _encode_field(20, 2)
    if isinstance(value, str):
        return _encode_field(1, name) + _encode_field(4, value) + _encode_field(20, 3)
    numbers = b"".join(_encode_field(8, number) for number in value)
    return _encode_field(1, name) + numbers + _encode_field(20, 7)


def _encode_tensor(name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    kind = _ONNX_FLOAT if array.dtype == np.float32 else _ONNX_INT64
    sizes = b"".join(_encode_field(1, size) for size in array.shape)
    content = np.ascontiguousarray(array).tobytes()
    return (
        sizes
        + _encode_field(2, kind)
        + _encode_field(8, name)
        + _encode_field(9, content)
    )


def _encode_value_info(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = [_encode_field(1 if isinstance(size, int) else 2, size) for size in shape]
    dimensions = b"".join(_encode_field(1, size) for size in sizes)
    tensor_type = _encode_field(1, _ONNX_FLOAT) + _encode_field(2, dimensions)
    return _encode_field(1, name) + _encode_field(2, _encode_field(1, tensor_type))
