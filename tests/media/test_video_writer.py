"""Writing videos: content, times, audio, and no unfinished files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from maskdet.media import (
    AudioTrack,
    VideoWriter,
    open_video_file,
    validate_output_path,
    video_writer,
)
from tests.media.image_files import make_corners_image, mean_difference
from tests.media.video_files import read_packets, write_video


def write_frames(
    path: Path, times_s: list[float], end_s: float = 0.0, **options
) -> Path:
    size_wh = options.pop("size_wh", (96, 64))
    path.unlink(missing_ok=True)
    with VideoWriter(path, size_wh, **options) as writer:
        for time_s in times_s:
            writer.write(make_corners_image(*size_wh), time_s)
        assert not path.exists()
        assert writer.finish(end_s) == path
        assert writer.note == ""
    assert [file.name for file in path.parent.iterdir() if "maskdet" in file.name] == []
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "h264"), ("a.mov", "h264"), ("a.mkv", "h264"), ("a.webm", "vp9")],
)
def test_a_written_video_can_be_read_back(tmp_path, name, codec) -> None:
    times_s = [index / 25 for index in range(10)]
    path = write_frames(tmp_path / name, times_s, 0.4, frame_rate=Fraction(25))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name.startswith(codec)
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 25
    with open_video_file(path) as opened:
        assert (opened.info.width, opened.info.height) == (96, 64)
        assert opened.info.duration_s == pytest.approx(0.4, abs=2e-3)
        frames = list(opened)
        assert opened.end_s == pytest.approx(0.4, abs=2e-3)
    assert [time_s for _, time_s in frames] == pytest.approx(times_s, abs=1e-3)
    assert mean_difference(frames[0][0], make_corners_image(96, 64)) < 6


@pytest.mark.parametrize(
    "rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(12)]
)
def test_frame_rates_are_exact(tmp_path: Path, rate: Fraction) -> None:
    times_s = [float(index / rate) for index in range(30)]
    path = write_frames(tmp_path / "a.mp4", times_s, float(30 / rate), frame_rate=rate)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == rate
    assert open_video_file(path).info.n_frames == 30


def test_variable_times_and_a_long_last_frame_are_kept(tmp_path: Path) -> None:
    times_s = [0.0, 0.04, 0.24, 0.25, 0.9]
    path = write_frames(tmp_path / "a.mp4", times_s, 2.5)
    with open_video_file(path) as opened:
        assert [time_s for _, time_s in opened] == pytest.approx(times_s, abs=1e-3)
        assert opened.end_s == pytest.approx(2.5, abs=1e-3)
        assert opened.info.duration_s == pytest.approx(2.5, abs=1e-3)


def test_times_that_do_not_increase_are_moved(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "a.mp4", [0.0, 0.0, 0.0, 0.1])
    times_s = [time_s for _, time_s in open_video_file(path)]
    assert len(times_s) == 4
    assert sorted(set(times_s)) == times_s
    assert times_s[2] < 0.001


@pytest.mark.parametrize("size_wh", [(97, 64), (96, 65), (97, 65), (2, 2), (1, 1)])
def test_odd_sides_are_padded_by_one_pixel(tmp_path: Path, size_wh) -> None:
    path = write_frames(tmp_path / "a.mp4", [0.0, 0.1], size_wh=size_wh)
    image, _ = next(iter(open_video_file(path)))
    width, height = size_wh
    assert image.shape == (height + height % 2, width + width % 2, 3)
    if width == 97:
        assert mean_difference(image[:height, :97], make_corners_image(97, height)) < 6
        last = image[:, 97].astype(int) - image[:, 96]
        assert np.abs(last).mean() < 6


def test_the_index_comes_first(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", audio_codec="aac")
    for audio in (None, AudioTrack(str(source))):
        path = write_frames(tmp_path / "a.mp4", [0.0, 0.1], audio=audio)
        content = path.read_bytes()
        assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    ("source", "audio_codec", "target", "codec"),
    [
        ("s.mp4", "aac", "a.mp4", "aac"),
        ("s.webm", "libopus", "a.mp4", "aac"),
        ("s.mkv", "pcm_s16le", "a.mp4", "aac"),
        ("s.mp4", "aac", "a.webm", "opus"),
        ("s.webm", "libopus", "a.webm", "opus"),
        ("s.mkv", "libopus", "a.mkv", "opus"),
    ],
)
def test_audio_is_kept(tmp_path, source, audio_codec, target, codec) -> None:
    video_codec = "libvpx" if source.endswith("webm") else "mpeg4"
    write_video(tmp_path / source, video_codec, audio_codec=audio_codec)
    audio = AudioTrack(str(tmp_path / source))
    times_s = [index / 10 for index in range(12)]
    path = write_frames(tmp_path / target, times_s, 1.2, audio=audio)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == codec
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    rate = frames[0].sample_rate
    assert len(samples) / rate == pytest.approx(1.2, abs=0.06)
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4].astype(float)
    loudest = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax()
    assert loudest * rate / len(middle) == pytest.approx(440, abs=5)
    assert len(list(open_video_file(path))) == 12


def test_compatible_audio_is_copied_exactly(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", audio_codec="aac")
    path = write_frames(
        tmp_path / "a.mp4", [0.0, 1.1], 1.2, audio=AudioTrack(str(source))
    )

    def content(video_path: Path) -> list[bytes]:
        with av.open(str(video_path)) as container:
            return [
                bytes(packet)
                for packet in container.demux(audio=0)
                if packet.pts is not None and packet.pts >= 0
            ]

    assert content(path) == content(source)
    assert len(content(path)) > 40


def test_audio_stays_in_sync(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mkv", audio_codec="aac", audio_start_s=0.5)
    first_s = read_packets(source, "audio")[0][0]
    assert first_s == pytest.approx(0.48, abs=0.03)
    for target in ("a.mkv", "a.webm"):
        audio = AudioTrack(str(source), start_s=0.2)
        path = write_frames(tmp_path / target, [0.0, 1.5], audio=audio)
        assert read_packets(path, "audio")[0][0] == pytest.approx(
            first_s - 0.2, abs=0.03
        )


def test_audio_is_trimmed_at_the_end_of_the_video(tmp_path: Path) -> None:
    source = write_video(tmp_path / "s.mp4", audio_codec="aac")
    path = tmp_path / "a.mp4"
    with VideoWriter(path, (96, 64), audio=AudioTrack(str(source))) as writer:
        writer.write(make_corners_image(96, 64), 0.0)
        writer.write(make_corners_image(96, 64), 0.2)
        writer.finish(0.4, trim_audio=True)
    assert read_packets(path, "audio")[-1][0] < 0.4


def test_unreadable_audio_is_left_out_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "s.mp4").write_bytes(b"not a video")
    path = tmp_path / "a.mp4"
    with VideoWriter(
        path, (96, 64), audio=AudioTrack(str(tmp_path / "s.mp4"))
    ) as writer:
        writer.write(make_corners_image(96, 64), 0.0)
        writer.finish()
        assert "audio could not be kept" in writer.note
    assert len(list(open_video_file(path))) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "s.mp4"]


def test_an_unfinished_video_does_not_replace_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with VideoWriter(path, (96, 64)) as writer:
        writer.write(make_corners_image(96, 64), 0.0)
    with (
        VideoWriter(path, (96, 64)) as writer,
        pytest.raises(ValueError, match="least"),
    ):
        writer.finish()
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_bytes() == b"old"
    with pytest.raises(ValueError, match="is finished"):
        writer.write(make_corners_image(96, 64), 0.0)


def test_invalid_output_paths_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.mp4"):
        validate_output_path("a.gif")
    with pytest.raises(OSError, match="No such file"):
        VideoWriter(tmp_path / "no" / "a.mp4", (96, 64))


def test_an_error_names_the_target_and_not_the_temporary_file(
    tmp_path, monkeypatch
) -> None:
    path = tmp_path / "a.mp4"
    part = str(tmp_path / ".maskdet-1.part")

    def raise_disk_full(writer, packets):
        raise OSError(28, "No space left on device", part)

    monkeypatch.setattr(VideoWriter, "_mux", raise_disk_full)
    with (
        pytest.raises(OSError, match="No space left") as error_info,
        VideoWriter(path, (96, 64)) as writer,
    ):
        writer.write(make_corners_image(96, 64), 0.0)
    assert error_info.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_vp9_is_used_without_an_h264_encoder(monkeypatch) -> None:
    assert video_writer.select_encoder("mp4") == "libx264"
    assert video_writer.select_encoder("webm") == "libvpx-vp9"
    monkeypatch.setattr(av, "codecs_available", {"libvpx-vp9"})
    assert video_writer.select_encoder("mp4") == "libvpx-vp9"
    monkeypatch.setattr(av, "codecs_available", set())
    with pytest.raises(RuntimeError, match="neither"):
        video_writer.select_encoder("mp4")
