"""Cost of tracking, label smoothing and distances per frame; speed of videos.

Run `python benchmarks/stream.py` from the root of the project, on an idle machine. It
prints three results:

- the time per frame with and without tracking, for 4 and 20 moving faces on 640 x 480
  pixels, interleaved;
- the speed of analyzing, annotating and writing a 720p video, relative to real time;
- the memory of the process after each tenth of a long video (`--minutes`).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maskdet.analyzers.pipelines import AUTO, load_analyzer, resolve_analyzer
from maskdet.cli.benchmark import make_benchmark_frame
from maskdet.drawing import draw
from maskdet.media import VideoWriter, open_video_file, read_image
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.types import Image
from maskdet.video import VideoOutputs, VideoProgress, run_video_analysis

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = Settings(distance="pinhole")
HZ = 25.0
HD_WH = (1280, 720)


def make_crowd_image() -> Image:
    """Return 20 sample faces in one 640 x 480 image."""
    small = cv2.resize(make_benchmark_frame(), (256, 192), interpolation=cv2.INTER_AREA)
    rows = [np.hstack([small[:96]] * 3)[:, :640] for _ in range(5)]
    image = np.vstack(rows)
    padded = cv2.copyMakeBorder(
        image, 0, 0, 0, 640 - image.shape[1], cv2.BORDER_REPLICATE
    )
    return np.ascontiguousarray(padded, np.uint8)


def shift_image(image: Image, number: int) -> Image:
    """Return a slightly shifted image, as from a hand-held camera."""
    angle = number / 9
    shift = np.array([[1, 0, 6 * np.sin(angle)], [0, 1, 4 * np.cos(angle)]])
    size_wh = (image.shape[1], image.shape[0])
    result = cv2.warpAffine(image, shift, size_wh, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(result, np.uint8)


def time_loops(
    image: Image, rounds: int, settings: Settings
) -> tuple[int, list[float], list[float]]:
    """Return the number of faces, and the times without and with tracking by round."""
    analyzer = load_analyzer(resolve_analyzer(AUTO, live=True))
    stream, analysis_ms, stream_ms, faces = Stream(analyzer, settings), [], [], 0
    warm_up = 10
    for number in range(rounds + warm_up):
        shifted = shift_image(image, number)

        def analyze_and_draw(shifted: Image = shifted) -> None:
            draw(shifted, analyzer.analyze(shifted, settings))

        def step(shifted: Image = shifted, time_s: float = number / HZ) -> None:
            nonlocal faces
            scene = stream.step(shifted, time_s)
            faces = len(scene)
            draw(shifted, scene)

        # The second call profits from a warm cache, so the order alternates.
        order = (analyze_and_draw, step) if number % 2 else (step, analyze_and_draw)
        times = {task: time_ms(task) for task in order}
        if number >= warm_up:
            analysis_ms.append(times[analyze_and_draw])
            stream_ms.append(times[step])
    return faces, analysis_ms, stream_ms


def time_ms(call: Callable[[], None]) -> float:
    """Return the duration of a call in milliseconds."""
    started = perf_counter()
    call()
    return (perf_counter() - started) * 1e3


def write_hd_video(path: Path, length_s: float) -> Path:
    """Write the sample video in a loop at 720p, and return its path."""
    count = round(length_s * HZ)
    with VideoWriter(path, HD_WH) as writer:
        for number, image in enumerate(itertools.islice(repeat_sample_video(), count)):
            large = cv2.resize(image, HD_WH, interpolation=cv2.INTER_LINEAR)
            writer.write(np.asarray(large, np.uint8), number / HZ)
        writer.finish(length_s)
    return path


def repeat_sample_video() -> Iterator[Image]:
    """Yield the sample video in a loop without storing frames, to save memory."""
    while True:
        with open_video_file(ROOT / "samples" / "video.mp4") as video:
            for image, _ in video:
                yield image


def read_memory_mb() -> float:
    """Return the memory of the process in megabytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return float(line.split()[1]) / 1024


def measure_videos(minutes: float) -> Iterator[str]:
    """Yield the speed of a one-minute video, and the memory of a long one."""
    analyzer = load_analyzer(resolve_analyzer(AUTO, live=True))
    with tempfile.TemporaryDirectory() as folder:
        source = write_hd_video(Path(folder) / "in.mp4", 60)
        started = perf_counter()
        run_video_analysis(
            source, analyzer, SETTINGS, VideoOutputs(out=Path(folder) / "marked.mp4")
        )
        took_s = perf_counter() - started
        yield f"720p video of 60 s: {took_s:.1f} s, {60 / took_s:.2f} times real time"
        if not minutes:
            return
        long_video = write_hd_video(Path(folder) / "long.mp4", minutes * 60)
        samples: list[tuple[float, float]] = []

        def record_memory(progress: VideoProgress) -> None:
            if not samples or progress.time_s - samples[-1][0] >= minutes * 6:
                samples.append((progress.time_s, read_memory_mb()))

        run_video_analysis(
            long_video,
            analyzer,
            SETTINGS,
            VideoOutputs(out=Path(folder) / "long-marked.mp4"),
            on_progress=record_memory,
        )
        yield "memory of the process, MB, at each tenth of the video:"
        yield "  " + "  ".join(f"{time_s:.0f} s {mb:.0f}" for time_s, mb in samples)


def main() -> None:
    """Print all results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--minutes", type=float, default=10.0, help="0 skips it")
    parser.add_argument("--no-videos", action="store_true")
    args = parser.parse_args()
    read_image(ROOT / "samples" / "group.jpg")  # fail early if samples are missing
    small = dataclasses.replace(SETTINGS, min_face_px=8.0)
    for name, image, settings in (
        ("4 faces", make_benchmark_frame(), SETTINGS),
        ("20 faces", make_crowd_image(), small),
    ):
        faces, analysis_ms, stream_ms = time_loops(image, args.rounds, settings)
        overhead_ms = statistics.median(
            w - a for w, a in zip(stream_ms, analysis_ms, strict=True)
        )
        print(
            f"{name} (people at the end: {faces}): detection and drawing "
            f"{statistics.median(analysis_ms):.2f} ms; with tracking and distances "
            f"{statistics.median(stream_ms):.2f} ms; {overhead_ms:+.2f} ms",
            flush=True,
        )
    if not args.no_videos:
        for line in measure_videos(args.minutes):
            print(line, flush=True)


if __name__ == "__main__":
    main()
