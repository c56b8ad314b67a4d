"""Reading films: pictures, times, turns, and files that break off."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from maskdet.media import UnreadableFilm, read_video
from tests.media.files import pillow, saved, scenery

N_FRAMES = 12


def film(path: Path, codec: str = "mpeg4", *, faststart: bool = False) -> Path:
    """Write 1.2 s of a picture with four coloured corners, growing brighter."""
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(N_FRAMES):
            image = np.maximum(scenery(96, 64), np.uint8(5 * number))
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "mpeg4"), ("a.mkv", "mpeg4"), ("a.webm", "libvpx"), ("a.avi", "mpeg4")],
)
def test_a_film_gives_its_pictures_and_their_times(
    tmp_path: Path, name: str, codec: str
) -> None:
    pictures = list(read_video(film(tmp_path / name, codec)))
    assert len(pictures) == N_FRAMES
    times = [time_s for _, time_s in pictures]
    assert times == pytest.approx([number / 10 for number in range(N_FRAMES)], abs=1e-3)
    for image, _ in pictures:
        assert image.shape == (64, 96, 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
    first = pictures[0][0].astype(int)
    assert np.abs(first - scenery(96, 64)).mean() < 8, "BGR, not RGB"
    assert not np.shares_memory(pictures[0][0], pictures[1][0])


def test_a_film_held_sideways_is_turned_upright(tmp_path: Path) -> None:
    """Phones store a turn in the track header (ISO 14496-12, 8.3.2)."""
    path = film(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    quarter = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    data[matrix : matrix + 36] = struct.pack(">9i", *quarter)
    path.write_bytes(data)
    image, _ = next(read_video(path))
    assert image.shape == (96, 64, 3)
    turned = np.rot90(scenery(96, 64), -1).astype(int)
    assert np.abs(image - turned).mean() < 8


def test_a_title_in_an_old_encoding_does_not_matter(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes().replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert len(list(read_video(path))) == N_FRAMES


def test_a_film_that_breaks_off_gives_what_it_has_or_is_refused(
    tmp_path: Path,
) -> None:
    whole = film(tmp_path / "a.mp4", faststart=True).read_bytes()
    counts = []
    for share in np.linspace(0.02, 0.98, 25):
        path = tmp_path / "cut.mp4"
        path.write_bytes(whole[: int(share * len(whole))])
        try:
            counts.append(len(list(read_video(path))))
        except UnreadableFilm:
            counts.append(0)
    assert counts[0] == 0
    assert 0 < counts[-1] <= N_FRAMES


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    playlist = f"#EXTM3U\n#EXTINF:1,\n{film(tmp_path / 'a.mp4')}\n#EXT-X-ENDLIST\n"
    contents = [
        b"",
        b"hello " * 100,
        playlist.encode(),
        saved(pillow(scenery()), "PNG"),
        b"\x00\x00\x00\x18ftypisom" + b"\x00" * 100,
    ]
    for content in contents:
        path = tmp_path / "no.mp4"
        path.write_bytes(content)
        with pytest.raises(UnreadableFilm, match="no film") as caught:
            next(read_video(path))
        assert "\n" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


def test_a_film_without_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(UnreadableFilm, match="no film"):
        next(read_video(path))


def test_a_missing_film_is_said_to_be_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "no.mp4", tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file"):
            next(read_video(path))
