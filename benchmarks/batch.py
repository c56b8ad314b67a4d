"""Speed of `maskdet batch` with one and two workers, and the cost of images and video.

Run `python benchmarks/batch.py` from the root of the project, on an idle machine. The
same images and videos (by default the samples, copied) go through this process alone,
and through Ray with each number of workers, in turns. Starting Ray and loading the
models is not part of the time: the first tasks of each worker are left out. The cost is
processor time, also of the decoders of videos.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maskdet.batch.analysis import BatchOptions, FileResult
from maskdet.batch.inputs import BatchFile, FileKind, collect_files
from maskdet.batch.ray_engine import RayEngine
from maskdet.batch.tasks import BatchEngine, BatchTask, InProcessEngine
from maskdet.media import find_images
from maskdet.threads import count_cores

ROOT = Path(__file__).resolve().parents[1]
IMAGES_PER_TASK = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT / "samples", metavar="DIR")
    parser.add_argument("--video", type=Path, default=ROOT / "samples" / "video.mp4")
    parser.add_argument("--n-images", type=int, default=400)
    parser.add_argument("--n-videos", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_files(find_images(args.images).images, folder / "images", args.n_images)
        copy_files([args.video], folder / "videos", args.n_videos)
        rows = [
            row
            for number in range(args.rounds)
            for row in measure_round(folder, number, args.workers)
        ]
    summary = summarize(rows, args.workers)
    for line in format_summary(summary):
        print(line)
    if args.json:
        content = {"cores": count_cores(), "rounds": rows, "median": summary}
        args.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0


def copy_files(paths: Sequence[Path], folder: Path, n: int) -> None:
    """Copy files in turns until there are n; links would count as one file."""
    folder.mkdir()
    for number in range(n):
        source = paths[number % len(paths)]
        shutil.copyfile(source, folder / f"{number:06}{source.suffix}")


def measure_round(
    folder: Path, number: int, worker_counts: Sequence[int]
) -> Iterator[dict[str, float | str]]:
    """Yield a row for each kind of files and engine."""
    kinds: tuple[FileKind, ...] = ("image", "video")
    for kind in kinds:
        files = collect_files([str(folder / f"{kind}s")]).files
        for n_workers in (0, *worker_counts):
            with start_engine(kind, n_workers) as engine:
                row = measure(engine, files, max(1, n_workers))
            yield {"round": number, "kind": kind, "workers": n_workers, **row}
            name = f"{n_workers} on Ray" if n_workers else "in process"
            print(
                f"round {number + 1}, {kind}s, {name}: {row['rate']:.2f}/s, cost "
                f"{row['cpu_ms']:.1f} ms of a core",
                flush=True,
            )


@contextmanager
def start_engine(kind: FileKind, n_workers: int) -> Iterator[BatchEngine]:
    """Start Ray, or this process for 0 workers."""
    options = BatchOptions("onepass", "onepass-fast", "maskdet")
    if n_workers:
        with RayEngine(options, [kind], n_workers=n_workers) as engine:
            yield engine
    else:
        yield InProcessEngine(options, [kind])


def measure(
    engine: BatchEngine, files: Sequence[BatchFile], n_workers: int
) -> dict[str, float]:
    """Return the rate and the cost of images, or of seconds of video."""
    # Loading the models takes longer than a few images, and less than a video.
    size, n_left_out = 1, n_workers
    if files[0].kind == "image":
        size, n_left_out = IMAGES_PER_TASK, 4 * n_workers
    tasks = [
        BatchTask(tuple(files[start : start + size]))
        for start in range(0, len(files), size)
    ]
    n_done, amount, cpu_s, n_frames = 0, 0.0, 0.0, 0
    started_s = ended_s = time.perf_counter()
    for results in engine.run(tasks):
        n_done += 1
        ended_s = time.perf_counter()
        if n_done <= n_left_out:
            started_s = ended_s
            continue
        amount += count_amount(results)
        cpu_s += sum(result.cpu_s for result in results)
        n_frames += sum(result.record.get("n_frames", 0) for result in results)
    row = {"rate": amount / (ended_s - started_s), "cpu_ms": 1e3 * cpu_s / amount}
    return {**row, "frame_ms": 1e3 * cpu_s / n_frames} if n_frames else row


def count_amount(results: Iterable[FileResult]) -> float:
    """Return the number of images, or the seconds of video."""
    return sum(result.record.get("analyzed_s", 1.0) for result in results)


def summarize(
    rows: Sequence[dict[str, float | str]], worker_counts: Sequence[int]
) -> dict[str, float]:
    """Return the medians over the rounds, and the speed-up."""
    summary: dict[str, float] = {}
    for kind in ("image", "video"):
        for n_workers in (0, *worker_counts):
            selected = [
                row
                for row in rows
                if row["kind"] == kind and row["workers"] == n_workers
            ]
            for name in ("rate", "cpu_ms", "frame_ms"):
                if name in selected[0]:
                    summary[f"{kind} {n_workers} {name}"] = median(
                        float(row[name]) for row in selected
                    )
        first, last = worker_counts[0], worker_counts[-1]
        summary[f"{kind} speed-up"] = (
            summary[f"{kind} {last} rate"] / summary[f"{kind} {first} rate"]
        )
    summary["core-s per image"] = summary[f"image {worker_counts[-1]} cpu_ms"] / 1e3
    summary["core-s per video minute"] = (
        summary[f"video {worker_counts[-1]} cpu_ms"] * 60 / 1e3
    )
    return summary


def format_summary(summary: dict[str, float]) -> Iterator[str]:
    """Yield the medians, a line each."""
    yield "median of the rounds:"
    for name, value in summary.items():
        yield f"  {name:28} {value:10.3f}"


if __name__ == "__main__":
    sys.exit(main())
