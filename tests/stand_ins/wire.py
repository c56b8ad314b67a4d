"""Write the few Protocol Buffers messages that hold the weights of a network."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

Value = int | float | str | bytes


def field(number: int, value: Value) -> bytes:
    """Return one field of a message: its key, then its value.

    Args:
        number: of the field, as the `.proto` file says.
        value: a message that is already written, or packed numbers, are bytes.
    """
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def caffe_weights(layers: dict[str, list[NDArray[np.float32]]]) -> bytes:
    """Return a `.caffemodel` with kernel and bias of each layer (`caffe.proto`)."""
    return b"".join(
        field(100, field(1, name) + b"".join(field(7, _blob(one)) for one in arrays))
        for name, arrays in layers.items()
    )


def tensorflow_weights(constants: dict[str, NDArray[np.float32]]) -> bytes:
    """Return a `GraphDef` with nothing but constants (`graph.proto`)."""
    return b"".join(
        field(1, _constant(name, array)) for name, array in constants.items()
    )


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _blob(array: NDArray[np.float32]) -> bytes:
    sizes = b"".join(_varint(size) for size in array.shape)
    return field(7, field(1, sizes)) + field(5, array.tobytes())


def _constant(name: str, array: NDArray[np.float32]) -> bytes:
    float32 = 1  # DT_FLOAT
    sizes = b"".join(field(2, field(1, size)) for size in array.shape)
    tensor = field(1, float32) + field(2, sizes) + field(4, array.tobytes())
    attributes = {"dtype": field(6, float32), "value": field(8, tensor)}
    pairs = [field(1, key) + field(2, value) for key, value in attributes.items()]
    return (
        field(1, name) + field(2, "Const") + b"".join(field(5, pair) for pair in pairs)
    )
