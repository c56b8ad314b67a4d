"""What `maskdet batch` costs by part: an image, a frame, and the memory of a worker.

Run `python benchmarks/batch_costs.py` from the root of the project, on an idle Linux
machine. Like a worker, this process uses one core. It prints the processor time of the
network with tracking, which is that of this process, and of decoding, which is that of
the decoder beside it. The video is `samples/video.mp4`, encoded in three sizes.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path
from statistics import median

import av
import cv2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maskdet.analyzers.pipelines import analyze_decoded, load_analyzer
from maskdet.media import decode_image, open_video_file
from maskdet.settings import Settings
from maskdet.threads import use_threads
from maskdet.video.analysis import run_video_analysis

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_VIDEO = ROOT / "samples" / "video.mp4"
SAMPLE_IMAGE = ROOT / "samples" / "portrait-mask.jpg"
IMAGE_WH = (640, 480)
SIZES_WH = ((640, 360), (1280, 720), (1920, 1080))
N_IMAGES = 30
N_ROUNDS = 3


def main() -> int:
    """Print the costs."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name, use_threads(1):
        print_image_costs(Path(name))
        print_video_costs(Path(name))
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory: {memory_mb:.0f} MB, also for encoding the videos, without decoders")
    return 0


def measure_cpu_s() -> tuple[float, float]:
    """Return the processor time of this process and of its decoders, in seconds."""
    times = os.times()
    own_s = times.user + times.system
    return own_s, times.children_user + times.children_system


def print_image_costs(folder: Path) -> None:
    """Print a line for an image."""
    path = folder / "image.jpg"
    cv2.imwrite(str(path), cv2.resize(cv2.imread(str(SAMPLE_IMAGE)), IMAGE_WH))
    analyzer, settings = load_analyzer("onepass"), Settings()
    images = [decode_image(path) for _ in range(N_IMAGES)]
    analyze_decoded(analyzer, images[0], settings)
    began_s, _ = measure_cpu_s()
    for image in images:
        analyze_decoded(analyzer, image, settings)
    analyzed_s, _ = measure_cpu_s()
    for _ in range(N_IMAGES):
        decode_image(path)
    decoded_s, _ = measure_cpu_s()
    print(
        f"image, {IMAGE_WH[0]} x {IMAGE_WH[1]}: network "
        f"{1e3 * (analyzed_s - began_s) / N_IMAGES:.1f} ms, decoding "
        f"{1e3 * (decoded_s - analyzed_s) / N_IMAGES:.1f} ms"
    )


def print_video_costs(folder: Path) -> None:
    """Print a line for a frame of each size."""
    analyzer = load_analyzer("onepass-fast")
    for size_wh in SIZES_WH:
        path = folder / "video.mp4"
        n_frames = write_video(path, size_wh)
        rounds = []
        for _ in range(N_ROUNDS):
            start = measure_cpu_s()
            with open_video_file(path):
                pass  # decodes the first frame
            opened = measure_cpu_s()
            run_video_analysis(open_video_file(path), analyzer, Settings())
            analyzed = measure_cpu_s()
            with open_video_file(path, every=n_frames) as video:
                list(video)
            left_out = measure_cpu_s()
            open_s = opened[1] - start[1]
            rounds.append(
                (
                    sum(opened) - sum(start),
                    (analyzed[0] - opened[0]) / n_frames,
                    (analyzed[1] - opened[1] - open_s) / n_frames,
                    (left_out[1] - analyzed[1] - open_s) / n_frames,
                )
            )
        open_s, network_s, decoded_s, skipped_s = map(median, zip(*rounds, strict=True))
        print(
            f"frame, {size_wh[0]} x {size_wh[1]}: network and tracking "
            f"{1e3 * network_s:.1f} ms, decoding {1e3 * decoded_s:.1f} ms, of frames "
            f"that are left out {1e3 * skipped_s:.1f} ms; opening {open_s:.2f} s",
            flush=True,
        )


def write_video(path: Path, size_wh: tuple[int, int]) -> int:
    """Encode the sample in another size; return its number of frames."""
    n_frames = 0
    with av.open(str(SAMPLE_VIDEO)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        for frame in source.decode(video=0):
            target.mux(stream.encode(frame.reformat(*size_wh, format="yuv420p")))
            n_frames += 1
        target.mux(stream.encode())
    return n_frames


if __name__ == "__main__":
    sys.exit(main())
