"""What the first and last bytes of a video file say: its kind, and whether it is whole.

Nothing is decoded here. A player reads a file that was copied half way up to where it
stops and calls that the end; most kinds of file say beforehand how long they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_HEAD: Final = 65_536
_MOST_PARTS: Final = 100_000
"""Top-level parts of a file; a fragmented MP4 of a day has fewer."""

_TS_SIZES: Final = ((188, 0), (192, 4), (204, 0))
"""Bytes of a packet of MPEG-TS, of M2TS and with checksums; where its 0x47 lies."""

_ISO_FIRST: Final = (
    *(b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx"),
    *(b"free", b"skip", b"wide", b"pnot"),
)
_ISO_COUNTED: Final = (b"moov", b"moof", b"mdat", b"mfra")
"""Parts whose end must be in the file; some programs write their own things behind."""

_NO_VIDEO_BRANDS: Final = (
    b"M4A ",
    b"M4B ",
    b"heic",
    b"heix",
    b"mif1",
    b"avif",
    b"crx ",
)
_ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PARTS: Final = (_ASF, bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"))
_ASF_VIDEO: Final = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_EBML: Final = b"\x1a\x45\xdf\xa3"
_EBML_VIDEO: Final = b"\x83\x81\x01"
"""Matroska's TrackType 1."""

_OGG_VIDEO: Final = (b"\x80theora", b"OVP80", b"BBCD\0")
_PLAIN: Final = (b"FLV\x01", b"GIF8", b"DKIF", b"YUV4MPEG2 ", b"\x06\x0e\x2b\x34")
_MOTION_JPEG: Final = (".mjpeg", ".mjpg")


def is_video(path: Path) -> bool:
    """Return whether a file looks like a video, whatever its name ends in.

    Motion JPEG begins as any JPEG image does, so there the name decides.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[4:8] in _ISO_FIRST:
        return head[8:12] not in _NO_VIDEO_BRANDS
    if head.startswith(_EBML):
        return _EBML_VIDEO in head
    if head.startswith(_ASF):
        return _ASF_VIDEO in head
    if head.startswith(b"OggS"):
        return any(mark in head for mark in _OGG_VIDEO)
    if head.startswith(b"\xff\xd8\xff"):
        return path.suffix.lower() in _MOTION_JPEG
    if head.startswith(b"RIFF"):
        return head[8:12] == b"AVI "
    # A start code of MPEG: a program stream or bare H.264, H.265, MPEG-1, 2 or 4; an
    # icon begins with 00 00 01 00.
    bare = head.lstrip(b"\0")
    if bare.startswith(b"\x01") and 2 <= len(head) - len(bare) <= 3:
        return bare[1:2] not in (b"", b"\0")
    return head.startswith(_PLAIN) or _ts_size(head) > 0


def is_whole(path: Path) -> bool | None:
    """Return whether a video file goes on to the end that it names.

    None where it names none. An MP4 in fragments may have lost whole ones all the same.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_HEAD)
        file.seek(max(0, size - _HEAD))
        tail = file.read(_HEAD)
        if head[4:8] in _ISO_FIRST:
            return _all_there(_iso_parts(file, size), size, tail)
        if head.startswith(_EBML):
            return _all_there(_ebml_parts(file, size), size, tail)
        if head.startswith(b"RIFF"):
            return _all_there(_riff_parts(file, size), size, tail)
        if head.startswith(_ASF):
            return _all_there(_asf_parts(file, size), size, tail)
    if head.startswith(b"OggS"):
        return _ogg_whole(tail)
    if head.startswith(b"GIF8"):
        return tail.rstrip(b"\0\r\n").endswith(b";")
    if head.startswith(b"\xff\xd8\xff"):
        return tail.rfind(b"\xff\xd9") > tail.rfind(b"\xff\xd8\xff")
    packet = _ts_size(head)
    return False if packet and size % packet else None


def _all_there(
    parts: Iterator[tuple[int, bool]], size: int, tail: bytes
) -> bool | None:
    """Return whether the file goes on to where its parts end.

    Args:
        parts: where each one ends, and whether that says something.
        size: of the file.
        tail: its last bytes.
    """
    last = 0
    for number, (end, counts) in enumerate(parts):
        if counts and end > size:
            return False
        last = max(last, end)
        if number > _MOST_PARTS:
            return None
    # Some programs make room for the whole file before they fetch it.
    return True if last >= size and any(tail[-4096:]) else None


def _iso_parts(file: BinaryIO, size: int) -> Iterator[tuple[int, bool]]:
    """Yield the boxes of MP4 and QuickTime (ISO 14496-12, 4.2)."""
    at, in_pieces = 0, False
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0 is "to the end of the file"
            return
        at += length
        in_pieces = in_pieces or kind == b"moof"
        yield at, kind in _ISO_COUNTED
    if in_pieces and at < size:  # the head of the next piece is cut
        yield at + 8, True


def _ebml_parts(file: BinaryIO, size: int) -> Iterator[tuple[int, bool]]:
    """Yield header and segment of Matroska and WebM (RFC 8794, RFC 9559)."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        n_bytes = 9 - head[4].bit_length()
        if head[:4] not in (_EBML, b"\x18\x53\x80\x67") or n_bytes > 8:
            return
        unknown = (1 << 7 * n_bytes) - 1
        length = int.from_bytes(head[4 : 4 + n_bytes], "big") & unknown
        if length == unknown:  # it was written as it came
            return
        at += 4 + n_bytes + length
        yield at, True


def _riff_parts(file: BinaryIO, size: int) -> Iterator[tuple[int, bool]]:
    """Yield the parts of AVI, of which a large one has several."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in (0, 2**32 - 1):  # it was never ended
            return
        at += 8 + length
        yield at, True
        at += length % 2


def _asf_parts(file: BinaryIO, size: int) -> Iterator[tuple[int, bool]]:
    """Yield the objects of WMV and ASF."""
    at = 0
    while at + 24 <= size:
        file.seek(at)
        head = file.read(24)
        length = int.from_bytes(head[16:24], "little")
        if length < 24:
            return
        at += length
        yield at, head[:16] in _ASF_PARTS


def _ogg_whole(tail: bytes) -> bool | None:
    """Return False if the last page (RFC 3533, 6) goes beyond the file."""
    at = tail.rfind(b"OggS")
    if at < 0:
        return None
    n_segments = tail[at + 26] if at + 26 < len(tail) else 0
    lengths = tail[at + 27 : at + 27 + n_segments]
    there = at + 27 + n_segments + sum(lengths) <= len(tail)
    return None if there and n_segments else False


def _ts_size(head: bytes) -> int:
    """Return the bytes of a packet of a transport stream; 0 if it is none."""
    for packet, first in _TS_SIZES:
        marks = head[first : 5 * packet : packet]
        if len(head) > packet + first and set(marks) == {0x47}:
            return packet
    return 0
