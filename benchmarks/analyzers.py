"""Time every analyzer on the same 640x480 frames, side by side in one run.

    python benchmarks/analyzers.py            # all that can be loaded
    python benchmarks/analyzers.py haar mtcnn --rounds 30

The frames are made from the samples that ship with the project. Analyzers take
turns frame by frame, so that a change of the machine's speed hits all of them;
quote the medians and the ratio to the first, not a single time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from time import perf_counter

import cv2

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from maskdet import ANALYZERS, Image, Settings, load_analyzer, read_image  # noqa: E402
from maskdet.media import image_paths  # noqa: E402

FRAME_WH = (640, 480)


def frames() -> list[Image]:
    """Return every bundled sample, fitted into a 640x480 frame without distortion."""
    made: list[Image] = []
    for path in image_paths(ROOT / "samples"):
        image = read_image(path)
        height, width = image.shape[:2]
        scale = min(FRAME_WH[0] / width, FRAME_WH[1] / height)
        small = cv2.resize(image, None, fx=scale, fy=scale)
        right, bottom = FRAME_WH[0] - small.shape[1], FRAME_WH[1] - small.shape[0]
        made.append(
            cv2.copyMakeBorder(small, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        )
    return made


def measure(names: list[str], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return the milliseconds of every stage for every frame, by analyzer."""
    analyzers = {}
    for name in names:
        try:
            analyzers[name] = load_analyzer(name)
        except FileNotFoundError as missing:
            print(f"{name}: left out: {missing}", file=sys.stderr)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in analyzers}
    pictures = frames()
    for turn in range(rounds):
        image = pictures[turn % len(pictures)]
        for name, analyzer in analyzers.items():
            started = perf_counter()
            scene = analyzer.analyze(image, Settings())
            whole = (perf_counter() - started) * 1e3
            times[name].append({**scene.stage_ms, "whole": whole})
    return times


def main() -> None:
    """Print one line an analyzer: medians in milliseconds and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(ANALYZERS))
    parser.add_argument("--rounds", type=int, default=40, help="frames for each")
    args = parser.parse_args()
    times = measure(args.names, args.rounds)
    first: float | None = None
    print(f"{'analyzer':10} {'find':>8} {'label':>8} {'whole':>8} {'p95':>8}  ratio")
    for name, runs in times.items():
        medians = {
            key: statistics.median(run[key] for run in runs)
            for key in ("find", "label", "whole")
        }
        first = first or medians["whole"]
        p95 = sorted(run["whole"] for run in runs)[int(0.95 * (len(runs) - 1))]
        print(
            f"{name:10} {medians['find']:8.1f} {medians['label']:8.1f} "
            f"{medians['whole']:8.1f} {p95:8.1f}  {medians['whole'] / first:5.2f}"
        )


if __name__ == "__main__":
    main()
