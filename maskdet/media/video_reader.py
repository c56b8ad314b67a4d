"""Read video files: detect the format, decode the frames, and find truncated files.

Frames are decoded in a process of its own, see `maskdet.media.decoder_process`. Players
take a truncated file for a shorter video. Here its container is checked: most formats
state how long they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, Self

from maskdet.media.decoder_client import DecoderClient, DecoderError
from maskdet.media.images import MAX_PIXELS
from maskdet.threads import count_cores
from maskdet.types import Image

_HEAD_BYTES: Final = 65_536
_MAX_DECODER_THREADS: Final = 4
_MAX_PARTS: Final = 100_000
"""Maximum number of top-level parts; a fragmented MP4 of a day has fewer."""

_TS_PACKET_SIZES: Final = ((188, 0), (192, 4), (204, 0))
"""Packet size and offset of the sync byte 0x47: MPEG-TS, M2TS, TS with checksums."""

_ISO_FIRST_BOXES: Final = (
    *(b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx"),
    *(b"free", b"skip", b"wide", b"pnot"),
)
_ISO_CHECKED_BOXES: Final = (b"moov", b"moof", b"mdat", b"mfra")
"""Boxes that must end inside the file; some programs append data of their own."""

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

VIDEO_SUFFIXES: Final = (
    *(".mp4", ".mov", ".webm", ".avi", ".mkv", ".m4v", ".3gp", ".3g2", ".f4v"),
    *(".mpg", ".mpeg", ".vob", ".m2ts", ".mts", ".wmv", ".asf", ".flv", ".ogv"),
    *(".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc"),
)
"""Files in a folder with one of these suffixes, in any case, count as videos even if
they are damaged. Others are checked by content; `.ts` is also TypeScript."""

ROTATIONS: Final = (0, 90, 180, 270)
"""Allowed clockwise rotations of frames, in degrees."""

_NOT_A_VIDEO: Final = (
    "this is not a video, or it is damaged; use a complete MP4, MOV, MKV or WebM"
)

_DURATION_TOLERANCE_S: Final = 1.0

_DURATION_TOLERANCE_RATIO: Final = 0.02
"""The tolerance for the duration in a header is the sum of both terms."""

_ERROR_MESSAGES: Final = {
    "no video": _NOT_A_VIDEO,
    "only audio": "this file has no video stream, only audio; use a file with video",
    "damaged": "the rest of the video is damaged and cannot be read",
    "too large": "the video has too many pixels; reduce its resolution",
    "too long": "the video is longer than is allowed; cut it into shorter parts",
    "memory": "decoding takes more memory than is allowed; reduce the resolution",
    "unreachable": "there is no readable video or camera at this URL",
    "login": "the camera requires a user and a password, or rejects those given",
    "no path": "there is no stream at this URL; check the path after the host",
    "refused": "no connection to this URL; check its host and port",
    "silent": "the camera sends no frames",
    "timeout": "decoding the video takes too long; the file is damaged or malicious",
    "crash": "the video cannot be read: the decoder crashed",
}
"""Messages for the reasons of `DecoderError`."""


def _is_video(path: Path) -> bool:
    """Return whether the content of a file is a video, whatever its suffix.

    Motion JPEG begins like any JPEG image, so it is recognized by its suffix.

    Raises:
        OSError: the file cannot be read.
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
    # A start code of MPEG: a program stream or raw H.264, H.265, MPEG-1, 2 or 4. An
    # icon file begins with 00 00 01 00.
    stripped = head.lstrip(b"\0")
    if stripped.startswith(b"\x01") and 2 <= len(head) - len(stripped) <= 3:
        return stripped[1:2] not in (b"", b"\0")
    return head.startswith(_VIDEO_MAGICS) or _get_ts_packet_size(head) > 0


def _is_file_complete(path: Path) -> bool | None:
    """Return whether a video file extends to the end that its container states.

    None if it states none. A fragmented MP4 can lack complete fragments nevertheless.

    Raises:
        OSError: the file cannot be read.
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
    """Return whether the file extends to the end of its parts.

    Args:
        parts: the end of each part, and whether it must be inside the file.
        size: size of the file.
        tail: its last bytes.
    """
    last = 0
    for index, (end, is_checked) in enumerate(parts):
        if is_checked and end > size:
            return False
        last = max(last, end)
        if index > _MAX_PARTS:
            return None
    # Some programs allocate the whole file before they download it.
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
        if length < 8:  # 0 means "to the end of the file"
            return
        position += length
        is_fragmented = is_fragmented or box_type == b"moof"
        yield position, box_type in _ISO_CHECKED_BOXES
    if is_fragmented and position < size:  # the header of a fragment is truncated
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
        if length == unknown_length:  # a live recording
            return
        position += 4 + n_bytes + length
        yield position, True


def _iter_riff_chunks(file: BinaryIO, size: int) -> Iterator[tuple[int, bool]]:
    """Yield the RIFF chunks of AVI; a large file has several."""
    position = 0
    while position + 12 <= size:
        file.seek(position)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in (0, 2**32 - 1):  # not finalized
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
    """Return False if the last page (RFC 3533, 6) is truncated, else None."""
    position = tail.rfind(b"OggS")
    if position < 0:
        return None
    n_segments = tail[position + 26] if position + 26 < len(tail) else 0
    lengths = tail[position + 27 : position + 27 + n_segments]
    is_complete = position + 27 + n_segments + sum(lengths) <= len(tail)
    return None if is_complete and n_segments else False


def _get_ts_packet_size(head: bytes) -> int:
    """Return the packet size of a transport stream; 0 if it is not one."""
    for packet_size, offset in _TS_PACKET_SIZES:
        sync_bytes = head[offset : 5 * packet_size : packet_size]
        if len(head) > packet_size + offset and set(sync_bytes) == {0x47}:
            return packet_size
    return 0


class VideoReadError(ValueError):
    """A video that cannot be read; the message is one line, without its path.

    Examples:
        >>> try:
        ...     maskdet.open_video("notes.txt")
        ... except maskdet.VideoReadError as error:
        ...     print(error)
        this is not a video, or it is damaged; use a complete MP4, MOV, MKV or WebM
    """


class CameraLoginError(VideoReadError):
    """The camera, or the server at a URL, refused the user or the password."""


@dataclass(frozen=True)
class VideoLimits:
    """Resource limits of reading a video.

    Attributes:
        max_pixels: maximum width times height of a frame.
        max_duration_s: maximum duration, in seconds.
        max_bytes: maximum file size.
        memory_bytes: maximum memory of the decoder beyond that of Python itself; not
            enforced on Windows and macOS.
        frame_timeout_s: maximum time to decode one frame, in seconds.
        cpu_s: maximum CPU time for the whole video, in seconds; not enforced on
            Windows.
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
    """Metadata of a video or camera; unknown values are 0, empty or None.

    Attributes:
        width: width of the upright frames, in square pixels.
        height: height of the upright frames, in square pixels.
        duration_s: duration in seconds; 0 for a camera.
        frame_rate: frames per second.
        n_frames: approximate number of frames.
        has_audio: whether there is an audio stream.
        rotation_deg: counterclockwise rotation by which frames were made upright;
            `rotate` of `open_video` is applied after it.
        start_s: timestamp of the first frame in the video itself.
        source: path of the file; empty for URLs and cameras.
        taken_at: date of the recording, in UTC.
        mirrored: whether the frames are mirrored left to right before the rotation, as
            those of some front cameras.
        duration_is_estimate: whether `duration_s` comes from timestamps that can jump,
            as in MPEG-TS.
        rate_is_assumed: whether the frame rate is assumed, because the file has neither
            timestamps nor a rate, such as raw H.264.
        is_snapshot: whether a URL returns single images, which are read once a second.
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
    """An iterable of the frames of a video file or camera, all of one size.

    Iterate it once. A `with` block closes it.

    Attributes:
        info: the metadata: size, frame rate, duration.

    Examples:
        >>> with maskdet.open_video("lobby.mp4") as source:
        ...     size = source.info.width, source.info.height
        ...     image, time_s = next(iter(source))
        >>> size, image.shape, time_s
        ((640, 360), (360, 640, 3), 0.0)
    """

    info: VideoInfo

    @property
    def end_s(self) -> float:
        """Until when the last frame so far is shown, in seconds from the first."""
        ...

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield `(h, w, 3)` uint8 BGR frames and their times, in seconds.

        Raises:
            VideoReadError: the video breaks off, or the camera was disconnected for
                too long.
        """
        ...

    def stop(self) -> None:
        """End the iteration soon; safe in a signal handler."""
        ...

    def close(self) -> None:
        """Release the file or camera; can be called twice."""
        ...

    def __enter__(self) -> Self:
        """Return the source, which is closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the source."""
        self.close()


class VideoReader(VideoSource):
    """A `VideoSource` of a file or URL; open it with `open_video_file`.

    Attributes:
        info: the metadata.
    """

    def __init__(self, request: dict[str, Any], timeout_s: float) -> None:
        """Open the video and decode its first frame.

        Raises:
            VideoReadError: the first frame cannot be decoded.
        """
        self._stopped, self._is_live = False, bool(request["live"])
        self._request, self._has_frames = request, False
        self._last_s = 0.0
        self._decoder = DecoderClient(request, timeout_s=timeout_s)
        self._next_frame = self._read_next()
        header = dict(self._decoder.header)
        if not header:
            raise VideoReadError(_NOT_A_VIDEO)
        del header["tag"]
        header["frame_rate"] = Fraction(*header["frame_rate"])
        header["taken_at"] = _parse_creation_time(header["taken_at"])
        self.info = VideoInfo(
            **header, source="" if request["live"] else request["source"]
        )
        self._step_s = request["every"] / float(self.info.frame_rate or 25)

    @property
    def end_s(self) -> float:
        """Until when the last frame so far is shown, in seconds from the first."""
        return self._decoder.end_s or self._last_s + self._step_s

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        """Yield upright `(h, w, 3)` BGR frames and their times in seconds.

        Raises:
            VideoReadError: the video breaks off, or exceeds a limit.
        """
        try:
            while self._next_frame is not None:
                frame, self._next_frame = self._next_frame, None
                self._last_s = frame[1]
                yield frame
                self._next_frame = self._read_next()
        finally:
            self.close()

    def stop(self) -> None:
        """End the iteration soon; safe in a signal handler."""
        self._stopped = True
        self._decoder.stop()

    def close(self) -> None:
        """End the decoder process; can be called twice."""
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
            reason = str(stopped)
            error_class = CameraLoginError if reason == "login" else VideoReadError
            raise error_class(self._format_error(reason)) from None
        if frame is None and self._decoder.end_info:
            self._check_complete(self._decoder.end_info)
        self._has_frames = True
        return frame

    def _format_error(self, reason: str) -> str:
        """Return the message for a reason of the decoder."""
        if self._is_live and reason == "timeout":
            reason = "silent"
        if self._has_frames and reason in ("no video", "unreachable"):
            reason = "damaged"
        return _ERROR_MESSAGES.get(reason, _NOT_A_VIDEO)

    def _check_complete(self, end_info: dict[str, Any]) -> None:
        """Check that the end of the file is the end of the video.

        Raises:
            VideoReadError: the video is incomplete.
        """
        if self._request["from_s"] > 0:  # a single frame is read again
            return
        duration_s, missing_s = self.info.duration_s, float(end_info["missing_s"])
        is_complete = (
            None if self._is_live else _is_file_complete(Path(self._request["source"]))
        )
        is_short = (
            missing_s > _DURATION_TOLERANCE_S + _DURATION_TOLERANCE_RATIO * duration_s
        )
        # If the file is complete, a longer duration in the header is just wrong.
        if (
            is_complete is False
            or end_info["is_damaged"]
            or (is_short and (end_info["is_exact"] or not is_complete))
        ):
            detail = f" by its header it lasts {duration_s:.1f} s;" if is_short else ""
            raise VideoReadError(
                f"the video is incomplete or damaged at its end;{detail} copy or "
                "download it again"
            )


def open_video_file(
    path: str | Path,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    *,
    every: int = 1,
    from_s: float = 0.0,
    rotate: int = 0,
) -> VideoReader:
    """Open a video file, which is decoded in a separate process.

    Args:
        path: a file of any name: MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG, WMV, GIF, or
            raw H.264, H.265 or motion JPEG.
        limits: resource limits.
        every: yield only every n-th frame.
        from_s: start with the first frame at or after this time, in seconds.
        rotate: clockwise rotation of the upright frames in degrees; one of `ROTATIONS`.

    Raises:
        FileNotFoundError: there is no such file.
        VideoReadError: the file is not a video, has no frames, or exceeds a limit.
        ValueError: `every` is not a whole number above 0, or `rotate` is not allowed.
    """
    if every < 1 or every != int(every):
        raise ValueError(f"every must be a whole number from 1, not {every!r}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    if path.stat().st_size > limits.max_bytes:
        size = f"{limits.max_bytes / 1e6:g} MB"
        raise VideoReadError(f"the video is larger than {size}; make it smaller")
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
    """Return the request to `maskdet.media.decoder_process` for a file or URL.

    Raises:
        ValueError: `rotate` is not one of `ROTATIONS`.
    """
    return {
        "source": source,
        "live": live,
        "every": 1,
        "from_s": 0.0,
        "rotate": validate_rotation(rotate),
        "threads": min(_MAX_DECODER_THREADS, count_cores()),
        "max_pixels": limits.max_pixels,
        "max_s": limits.max_duration_s,
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
    }


def _parse_creation_time(text: str) -> datetime | None:
    """Return the date in a video's header; without a time zone, it is local time."""
    try:
        created_at = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    # A camera whose clock was not set gives 1904, 1970 or a date in the future.
    latest = datetime.now(UTC) + timedelta(days=1)
    return (
        created_at if datetime(1990, 1, 1, tzinfo=UTC) <= created_at <= latest else None
    )


def validate_rotation(rotate: int) -> int:
    """Return a clockwise rotation in degrees, if it is allowed.

    Raises:
        ValueError: it is not one of `ROTATIONS`.
    """
    if rotate not in ROTATIONS:
        choices = ", ".join(map(str, ROTATIONS))
        raise ValueError(f"rotate must be one of {choices} degrees, not {rotate!r}")
    return int(rotate)


def find_videos(folder: str | Path) -> list[Path]:
    """Return the video files directly in a folder, sorted by name, without hidden ones.

    A file is a video by its suffix or by its content.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError("there is no such folder")
    return sorted(
        path
        for path in Path(folder).iterdir()
        if not path.name.startswith(".") and path.is_file() and may_be_video(path)
    )


def may_be_video(path: Path) -> bool:
    """Return whether a file is a video by its suffix or its content."""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return True
    try:
        return _is_video(path)
    except OSError:
        return False
