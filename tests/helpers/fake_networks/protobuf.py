"""Write the few Protocol Buffers messages that hold the weights of a network."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

FieldValue = int | float | str | bytes


def encode_field(number: int, value: FieldValue) -> bytes:
    """Return one field of a message: its key, then its value.

    Args:
        number: of the field, as the `.proto` file says.
        value: a message that is already written, or packed numbers, are bytes.
    """
    if isinstance(value, int):
        return _encode_varint(number << 3) + _encode_varint(value)
    if isinstance(value, float):
        return _encode_varint(number << 3 | 5) + struct.pack("<f", value)
    content = value.encode() if isinstance(value, str) else value
    return _encode_varint(number << 3 | 2) + _encode_varint(len(content)) + content


def encode_caffe_weights(layers: dict[str, list[NDArray[np.float32]]]) -> bytes:
    """Return a `.caffemodel` with kernel and bias of each layer (`caffe.proto`)."""
    return b"".join(
        encode_field(
            100,
            encode_field(1, name)
            + b"".join(encode_field(7, _encode_blob(array)) for array in arrays),
        )
        for name, arrays in layers.items()
    )


def encode_tensorflow_weights(constants: dict[str, NDArray[np.float32]]) -> bytes:
    """Return a `GraphDef` with nothing but constants (`graph.proto`)."""
    return b"".join(
        encode_field(1, _encode_constant(name, array))
        for name, array in constants.items()
    )


def _encode_varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _encode_blob(array: NDArray[np.float32]) -> bytes:
    sizes = b"".join(_encode_varint(size) for size in array.shape)
    return encode_field(7, encode_field(1, sizes)) + encode_field(5, array.tobytes())


def _encode_constant(name: str, array: NDArray[np.float32]) -> bytes:
    float32 = 1  # DT_FLOAT
    sizes = b"".join(encode_field(2, encode_field(1, size)) for size in array.shape)
    tensor = (
        encode_field(1, float32)
        + encode_field(2, sizes)
        + encode_field(4, array.tobytes())
    )
    attributes = {"dtype": encode_field(6, float32), "value": encode_field(8, tensor)}
    pairs = [
        encode_field(1, key) + encode_field(2, value)
        for key, value in attributes.items()
    ]
    return (
        encode_field(1, name)
        + encode_field(2, "Const")
        + b"".join(encode_field(5, pair) for pair in pairs)
    )
