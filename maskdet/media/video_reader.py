"""Reading videos, one upright image at a time, decoded by a process of their own.

What the first and last bytes of a video file say: its kind, and whether it is whole.

Nothing is decoded here. A player reads a file that was copied half way up to where it
stops and calls that the end; most kinds of file say beforehand how long they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from maskdet.media.decoder_client import DecoderClient, DecoderError
from maskdet.media.images import MAX_PIXELS
from maskdet.types import Image

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


VIDEO_SUFFIXES: Final = (
    *(".mp4", ".mov", ".webm", ".avi", ".mkv", ".m4v", ".3gp", ".3g2", ".f4v"),
    *(".mpg", ".mpeg", ".vob", ".m2ts", ".mts", ".wmv", ".asf", ".flv", ".ogv"),
    *(".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc"),
)
"""A file in a folder that ends in one of them is meant to be a video, also where it is
damaged; case does not matter. Others are looked into. `.ts` is TypeScript as well."""

ROTATIONS: Final = (0, 90, 180, 270)
"""Degrees clockwise by which frames can be turned after they were read."""

NOT_A_VIDEO: Final = (
    "this is no video, or it is damaged; please use a whole MP4, MOV, MKV or WebM"
)

_DURATION_TOLERANCE_S: Final = 1.0
_DURATION_TOLERANCE_RATIO: Final = 0.02
"""A header may be wrong by so many seconds and such a part of what it says."""


class VideoReadError(ValueError):
    """A video that cannot be read; the message is one line, without its path.

    Examples:
        >>> try:
        ...     maskdet.open_video("notes.txt")
        ... except maskdet.VideoReadError as error:
        ...     print(error)
        this is no video, or it is damaged; please use a whole MP4, MOV, MKV or WebM
    """


@dataclass(frozen=True)
class VideoLimits:
    """What a video may cost.

    Attributes:
        max_pixels: width times height of its images.
        max_duration_s: how long it may last.
        max_bytes: how large its file may be.
        memory_bytes: what decoding it may take beyond what Python takes anyway; not
            watched on Windows and macOS.
        frame_timeout_s: how long one image may take to decode, in seconds.
        cpu_s: how long a processor may work for the whole video; not on Windows.
    """

    max_pixels: int = MAX_PIXELS
    max_duration_s: float = 6 * 3600.0
    max_bytes: int = 16_000_000_000
    memory_bytes: int = 2_000_000_000
    frame_timeout_s: float = 20.0
    cpu_s: int = 3600


DEFAULT_VIDEO_LIMITS: Final = VideoLimits()


@dataclass(frozen=True)
class VideoInfo:
    """What a video says about itself; a camera says less.

    Attributes:
        width: of its images once upright, in square pixels.
        height: the same.
        duration_s: how long it lasts; 0 if it does not say, as a camera.
        frame_rate: usual images a second; 0 if it does not say.
        n_frames: about how many images there are; 0 if it does not say.
        has_audio: whether there is sound.
        rotation_deg: how far images were turned counterclockwise to be upright, as
            the video says; `rotate` of `open_video` comes after that.
        start_s: what the video itself calls the time of its first image.
        source: its file, where it is one.
        taken_at: when it says that it was taken, in UTC; None if it does not say.
        mirrored: whether the video says that its frames are mirrored left to right
            before they are turned, as some front cameras do.
        duration_is_estimate: whether `duration_s` comes from a clock that may leap,
            as in MPEG-TS.
        rate_is_assumed: whether the frame rate is a guess, because the file has no
            times and does not name it, such as raw H.264.
        is_snapshot: whether an address gives single images, one a second.
    """

    width: int
    height: int
    duration_s: float = 0.0
    frame_rate: Fraction = Fraction(0)
    n_frames: int = 0
    has_audio: bool = False
    rotation_deg: int = 0
    start_s: float = 0.0
    source: str = ""
    taken_at: datetime | None = None
    mirrored: bool = False
    duration_is_estimate: bool = False
    rate_is_assumed: bool = False
    is_snapshot: bool = False


class VideoSource(Protocol):
    """Frames one after the other, of a video file or a camera; all of one size.

    Iterate it once, or use it in a `with` block, which closes it.

    Examples:
        >>> with maskdet.open_video("lobby.mp4") as source:
        ...     size = source.info.width, source.info.height
        ...     image, time_s = next(iter(source))
        >>> size, image.shape, time_s
        ((640, 360), (360, 640, 3), 0.0)
    """

    @property
    def info(self) -> VideoInfo:
        """What is known beforehand: size, rate, duration."""
        ...

    @property
    def end_s(self) -> float:
        """Until when the last frame so far is shown, in seconds from the first."""
        ...

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield `(h, w, 3)` uint8 BGR frames and when they are shown, in seconds.

        Raises:
            VideoReadError: the video breaks off, or the camera was away for too long.
        """
        ...

    def stop(self) -> None:
        """End the frames soon; safe in a signal handler."""
        ...

    def close(self) -> None:
        """Release the file or camera; may be called twice."""
        ...

    def __enter__(self) -> VideoSource:
        """Return the source, to be closed at the end of the block."""
        ...

    def __exit__(self, *error: object) -> None:
        """Close it."""
        ...


class VideoReader:
    """A video that is being read; `open_video_file` opens it. Iterate it once.

    Attributes:
        info: what it says about itself.
    """

    def __init__(self, request: dict[str, Any], timeout_s: float) -> None:
        """Open the video and decode its first image.

        Raises:
            VideoReadError: there is none.
        """
        self._stopped, self._is_live = False, bool(request["live"])
        self._request, self._has_frames = request, False
        self._last_s = 0.0
        self._decoder = DecoderClient(request, timeout_s=timeout_s)
        self._next_frame = self._read_next()
        header = dict(self._decoder.header)
        if not header:
            raise VideoReadError(NOT_A_VIDEO)
        del header["tag"]
        header["frame_rate"] = Fraction(*header["frame_rate"])
        header["taken_at"] = _parse_creation_time(header["taken_at"])
        self.info = VideoInfo(
            **header, source="" if request["live"] else request["source"]
        )
        self._step_s = request["every"] / float(self.info.frame_rate or 25)

    @property
    def end_s(self) -> float:
        """Until when the last image so far is shown, in seconds from the first."""
        return self._decoder.end_s or self._last_s + self._step_s

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield `(h, w, 3)` BGR images, upright, and their times in seconds.

        Raises:
            VideoReadError: the video breaks off, or goes beyond a limit.
        """
        try:
            while self._next_frame is not None:
                frame, self._next_frame = self._next_frame, None
                self._last_s = frame[1]
                yield frame
                self._next_frame = self._read_next()
        finally:
            self.close()

    def __enter__(self) -> VideoReader:
        """Return the video, to be closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def stop(self) -> None:
        """End the images soon; safe in a signal handler."""
        self._stopped = True
        self._decoder.stop()

    def close(self) -> None:
        """End the process that decodes; may be called twice."""
        self._stopped = True
        self._decoder.close()

    def _read_next(self) -> tuple[Image, float] | None:
        if self._stopped:
            return None
        try:
            frame = self._decoder.read_frame()
        except DecoderError as stopped:
            self._decoder.close()
            if self._stopped:
                return None
            raise VideoReadError(self._format_error(str(stopped))) from None
        if frame is None and self._decoder.end_info:
            self._check_complete(self._decoder.end_info)
        self._has_frames = True
        return frame

    def _format_error(self, reason: str) -> str:
        """Return why the decoder stopped, for people."""
        if self._is_live and reason == "hangs":
            reason = "silent"
        if self._has_frames and reason in ("no video", "away"):
            reason = "damaged"
        return _ERROR_MESSAGES.get(reason, NOT_A_VIDEO)

    def _check_complete(self, end_info: dict[str, Any]) -> None:
        """Refuse an end that is not that of the video.

        Raises:
            VideoReadError: only the beginning of the video is there.
        """
        if self._request["from_s"] > 0:  # somebody looks back, and knows it
            return
        duration_s, missing_s = self.info.duration_s, float(end_info["missing_s"])
        is_complete = (
            None if self._is_live else is_file_complete(Path(self._request["source"]))
        )
        is_short = (
            missing_s > _DURATION_TOLERANCE_S + _DURATION_TOLERANCE_RATIO * duration_s
        )
        # Where all is there, a header that says more is only wrong.
        if (
            is_complete is False
            or end_info["torn"]
            or (is_short and (end_info["exact"] or not is_complete))
        ):
            detail = f" by its header it lasts {duration_s:.1f} s;" if is_short else ""
            raise VideoReadError(
                f"the video is incomplete or damaged at its end;{detail} please copy "
                "or "
                "download it again"
            )


_ERROR_MESSAGES: Final = {
    "no video": NOT_A_VIDEO,
    "only sound": "there is no video in this file, only sound",
    "damaged": "the rest of the video is damaged and cannot be read",
    "too large": "the video has too many pixels; please make its images smaller",
    "too long": "the video is longer than is allowed; please cut it",
    "memory": "the video takes more memory than is allowed; please make it smaller",
    "away": "the address gives no video or camera that can be read",
    "login": "the address wants a user and a password, or refuses those it was given",
    "no path": "there is nothing at this address; check what comes after the host",
    "nobody": "nobody answers at this address; check its host and port",
    "silent": "the address sends no images",
    "hangs": "the video takes too long to read; it is damaged, or built to be slow",
    "crash": "the video cannot be read: it made its decoder crash",
}
"""Why a decoder stopped, for people."""


def open_video_file(
    path: str | Path,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    *,
    every: int = 1,
    from_s: float = 0.0,
    rotate: int = 0,
) -> VideoReader:
    """Open a video; a process of its own decodes it, so that it can do no harm.

    Args:
        path: a file; MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG, WMV, GIF, or bare
            H.264, H.265 or motion JPEG, whatever its name ends in.
        limits: what it may cost.
        every: hand out only every so many images.
        from_s: begin with the first image at this time, in seconds.
        rotate: one of `ROTATIONS`; turn upright frames so far clockwise, in degrees.

    Raises:
        FileNotFoundError: there is no such file.
        VideoReadError: it is no video, holds no images, or goes beyond a limit.
        ValueError: `every` is no whole number above 0, or `rotate` not one of those.
    """
    if every < 1 or every != int(every):
        raise ValueError(f"every must be a whole number from 1, not {every!r}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    if path.stat().st_size > limits.max_bytes:
        size = f"{limits.max_bytes / 1e6:g} MB"
        raise VideoReadError(f"the video is larger than {size}; please make it smaller")
    request = build_decode_request(str(path.resolve()), limits, rotate=rotate)
    return VideoReader(
        {**request, "every": int(every), "from_s": from_s}, limits.frame_timeout_s
    )


def build_decode_request(
    source: str,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    *,
    live: bool = False,
    rotate: int = 0,
) -> dict[str, Any]:
    """Return what `maskdet.media.decoder_process` is to do with a file or an address.

    Raises:
        ValueError: `rotate` is none of `ROTATIONS`.
    """
    return {
        "source": source,
        "live": live,
        "every": 1,
        "from_s": 0.0,
        "rotate": validate_rotation(rotate),
        "max_pixels": limits.max_pixels,
        "max_s": limits.max_duration_s,
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
    }


def _parse_creation_time(text: str) -> datetime | None:
    """Return a time of a video's header; without a zone it means that of here."""
    try:
        created_at = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    # A camera whose clock was never set says 1904, 1970 or some year to come.
    latest = datetime.now(UTC) + timedelta(days=1)
    return (
        created_at if datetime(1990, 1, 1, tzinfo=UTC) <= created_at <= latest else None
    )


def validate_rotation(rotate: int) -> int:
    """Return degrees by which frames can be turned.

    Raises:
        ValueError: they are none of `ROTATIONS`.
    """
    if rotate not in ROTATIONS:
        choices = ", ".join(map(str, ROTATIONS))
        raise ValueError(f"rotate must be one of {choices} degrees, not {rotate!r}")
    return int(rotate)


def find_videos(folder: str | Path) -> list[Path]:
    """Return the video files directly in a folder, sorted by name, no hidden ones.

    A file is one by its content, or if its name says so: then it may be damaged.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError("there is no such folder")
    return sorted(
        path
        for path in Path(folder).iterdir()
        if not path.name.startswith(".") and path.is_file() and _may_be_video(path)
    )


def _may_be_video(path: Path) -> bool:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return True
    try:
        return is_video(path)
    except OSError:
        return False
