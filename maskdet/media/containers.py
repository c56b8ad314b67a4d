"""What the first and last bytes of a video file say: its kind, and whether it is whole.

Nothing is decoded here. A player reads a file that was copied half way up to where it
stops and calls that the end; most kinds of file say beforehand how long they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_HEAD_BYTES: Final = 65_536
_MAX_PARTS: Final = 100_000
"""Top-level parts of a file; a fragmented MP4 of a day has fewer."""

_TS_PACKET_SIZES: Final = ((188, 0), (192, 4), (204, 0))
"""Bytes of a packet of MPEG-TS, of M2TS and with checksums; where its 0x47 lies."""

_ISO_FIRST_BOXES: Final = (
    *(b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx"),
    *(b"free", b"skip", b"wide", b"pnot"),
)
_ISO_CHECKED_BOXES: Final = (b"moov", b"moof", b"mdat", b"mfra")
"""Parts whose end must be in the file; some programs write their own things behind."""

_NON_VIDEO_BRANDS: Final = (
    b"M4A ",
    b"M4B ",
    b"heic",
    b"heix",
    b"mif1",
    b"avif",
    b"crx ",
)
_ASF_HEADER_GUID: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_CHECKED_GUIDS: Final = (
    _ASF_HEADER_GUID,
    bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"),
)
_ASF_VIDEO_GUID: Final = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_EBML_MAGIC: Final = b"\x1a\x45\xdf\xa3"
_EBML_VIDEO_TRACK: Final = b"\x83\x81\x01"
"""Matroska's TrackType 1."""

_OGG_VIDEO_MAGICS: Final = (b"\x80theora", b"OVP80", b"BBCD\0")
_VIDEO_MAGICS: Final = (
    b"FLV\x01",
    b"GIF8",
    b"DKIF",
    b"YUV4MPEG2 ",
    b"\x06\x0e\x2b\x34",
)
_MOTION_JPEG_SUFFIXES: Final = (".mjpeg", ".mjpg")


def is_video(path: Path) -> bool:
    """Return whether a file looks like a video, whatever its name ends in.

    Motion JPEG begins as any JPEG image does, so there the name decides.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[4:8] in _ISO_FIRST_BOXES:
        return head[8:12] not in _NON_VIDEO_BRANDS
    if head.startswith(_EBML_MAGIC):
        return _EBML_VIDEO_TRACK in head
    if head.startswith(_ASF_HEADER_GUID):
        return _ASF_VIDEO_GUID in head
    if head.startswith(b"OggS"):
        return any(magic in head for magic in _OGG_VIDEO_MAGICS)
    if head.startswith(b"\xff\xd8\xff"):
        return path.suffix.lower() in _MOTION_JPEG_SUFFIXES
    if head.startswith(b"RIFF"):
        return head[8:12] == b"AVI "
    # A start code of MPEG: a program stream or bare H.264, H.265, MPEG-1, 2 or 4; an
    # icon begins with 00 00 01 00.
    stripped = head.lstrip(b"\0")
    if stripped.startswith(b"\x01") and 2 <= len(head) - len(stripped) <= 3:
        return stripped[1:2] not in (b"", b"\0")
    return head.startswith(_VIDEO_MAGICS) or _get_ts_packet_size(head) > 0


def is_file_complete(path: Path) -> bool | None:
    """Return whether a video file goes on to the end that it names.

    None where it names none. An MP4 in fragments may have lost whole ones all the same.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, size - _HEAD_BYTES))
        tail = file.read(_HEAD_BYTES)
        if head[4:8] in _ISO_FIRST_BOXES:
            return _has_all_parts(_iter_iso_boxes(file, size), size, tail)
        if head.startswith(_EBML_MAGIC):
            return _has_all_parts(_iter_ebml_elements(file, size), size, tail)
        if head.startswith(b"RIFF"):
            return _has_all_parts(_iter_riff_chunks(file, size), size, tail)
        if head.startswith(_ASF_HEADER_GUID):
            return _has_all_parts(_iter_asf_objects(file, size), size, tail)
    if head.startswith(b"OggS"):
        return _is_ogg_complete(tail)
    if head.startswith(b"GIF8"):
        return tail.rstrip(b"\0\r\n").endswith(b";")
    if head.startswith(b"\xff\xd8\xff"):
        return tail.rfind(b"\xff\xd9") > tail.rfind(b"\xff\xd8\xff")
    packet_size = _get_ts_packet_size(head)
    return False if packet_size and size % packet_size else None


def _has_all_parts(
    parts: Iterator[tuple[int, bool]], size: int, tail: bytes
) -> bool | None:
    """Return whether the file goes on to where its parts end.

    Args:
        parts: where each one ends, and whether that says something.
        size: of the file.
        tail: its last bytes.
    """
    last = 0
    for index, (end, is_checked) in enumerate(parts):
        if is_checked and end > size:
            return False
        last = max(last, end)
        if index > _MAX_PARTS:
            return None
    # Some programs make room for the whole file before they fetch it.
    return True if last >= size and any(tail[-4096:]) else None


def _iter_iso_boxes(file: BinaryIO, size: int) -> Iterator[tuple[int, bool]]:
    """Yield the boxes of MP4 and QuickTime (ISO 14496-12, 4.2)."""
    position, is_fragmented = 0, False
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length, box_type = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0 is "to the end of the file"
            return
        position += length
        is_fragmented = is_fragmented or box_type == b"moof"
        yield position, box_type in _ISO_CHECKED_BOXES
    if is_fragmented and position < size:  # the head of the next piece is cut
        yield position + 8, True


def _iter_ebml_elements(file: BinaryIO, size: int) -> Iterator[tuple[int, bool]]:
    """Yield header and segment of Matroska and WebM (RFC 8794, RFC 9559)."""
    position = 0
    while position + 12 <= size:
        file.seek(position)
        head = file.read(12)
        n_bytes = 9 - head[4].bit_length()
        if head[:4] not in (_EBML_MAGIC, b"\x18\x53\x80\x67") or n_bytes > 8:
            return
        unknown_length = (1 << 7 * n_bytes) - 1
        length = int.from_bytes(head[4 : 4 + n_bytes], "big") & unknown_length
        if length == unknown_length:  # it was written as it came
            return
        position += 4 + n_bytes + length
        yield position, True


def _iter_riff_chunks(file: BinaryIO, size: int) -> Iterator[tuple[int, bool]]:
    """Yield the parts of AVI, of which a large one has several."""
    position = 0
    while position + 12 <= size:
        file.seek(position)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in (0, 2**32 - 1):  # it was never ended
            return
        position += 8 + length
        yield position, True
        position += length % 2


def _iter_asf_objects(file: BinaryIO, size: int) -> Iterator[tuple[int, bool]]:
    """Yield the objects of WMV and ASF."""
    position = 0
    while position + 24 <= size:
        file.seek(position)
        head = file.read(24)
        length = int.from_bytes(head[16:24], "little")
        if length < 24:
            return
        position += length
        yield position, head[:16] in _ASF_CHECKED_GUIDS


def _is_ogg_complete(tail: bytes) -> bool | None:
    """Return False if the last page (RFC 3533, 6) goes beyond the file."""
    position = tail.rfind(b"OggS")
    if position < 0:
        return None
    n_segments = tail[position + 26] if position + 26 < len(tail) else 0
    lengths = tail[position + 27 : position + 27 + n_segments]
    is_complete = position + 27 + n_segments + sum(lengths) <= len(tail)
    return None if is_complete and n_segments else False


def _get_ts_packet_size(head: bytes) -> int:
    """Return the bytes of a packet of a transport stream; 0 if it is none."""
    for packet_size, offset in _TS_PACKET_SIZES:
        sync_bytes = head[offset : 5 * packet_size : packet_size]
        if len(head) > packet_size + offset and set(sync_bytes) == {0x47}:
            return packet_size
    return 0
