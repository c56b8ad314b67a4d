"""Check that two checkouts compute the same: the net under a change of structure.

    git worktree add ../before HEAD~20
    python scripts/compare_checkouts.py ../before --data FOLDER

runs the commands below in the other checkout and in this one, with the packages of this
environment, and compares what they write: JSON, CSV and settings value by value, images
and videos pixel by pixel, other files byte by byte. Versions and times are left out.
The output is a Markdown table, which `--report FILE` also writes to a file; the exit
status is 1 if anything differs or a command wrote nothing to compare. `--data` names a
labelled set with boxes, as `maskdet evaluate scenes` reads it; without it, only the
samples are used.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]

# Parts of the keys of what holds a version, a time of the run, or a random ID.
UNSTABLE = ("version", "_ms", "session")
# Float noise of another order of additions; every reported number has fewer digits.
TOLERANCE = 1e-6

SAMPLE_COMMANDS: dict[str, list[str]] = {
    "detect": ["detect", "samples", "--json", "{out}/faces.json", "--csv",
               "{out}/faces.csv", "--out", "{out}/images"],
    "detect onepass-fast": ["detect", "samples", "--analyzer", "onepass-fast",
                            "--tiles", "--json", "{out}/faces.json"],
    "detect mtcnn": ["detect", "samples", "--analyzer", "mtcnn", "--blur",
                     "--json", "{out}/faces.json", "--out", "{out}/images"],
    "detect haar": ["detect", "samples", "--analyzer", "haar",
                    "--json", "{out}/faces.json"],
    "video": ["video", "samples/video.mp4", "--distance", "pinhole",
              "--contact-distance-m", "3", "--contact-duration-s", "0.5",
              "--start-time", "2026-01-01T08:00:00+00:00",
              "--json", "{out}/video.json", "--csv", "{out}/video.csv",
              "--events", "{out}/events.csv", "--out", "{out}/video.mp4"],
}  # fmt: skip
DATA_COMMANDS: dict[str, list[str]] = {
    "evaluate": ["evaluate", "scenes", "{data}", "--json", "{out}/scenes.json"],
    "tune": ["tune", "{data}", "--goal", "recall=0.9", "--json", "{out}/tune.json",
             "--settings-out", "{out}/settings.json"],
    "robustness": ["robustness", "{data}", "--json", "{out}/robustness.json"],
}  # fmt: skip


def main() -> int:
    """Run every command in both checkouts and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("other", type=Path, help="the checkout to compare with")
    parser.add_argument("--data", type=Path, help="a labelled set with boxes")
    parser.add_argument("--report", type=Path, help="file for the table")
    args = parser.parse_args()
    commands = dict(SAMPLE_COMMANDS)
    if args.data:
        commands |= DATA_COMMANDS
    lines = ["| command | values compared | different |", "| --- | --- | --- |"]
    is_equal = True
    for name, words in commands.items():
        with tempfile.TemporaryDirectory() as folder:
            outs = [Path(folder, "before"), Path(folder, "after")]
            for checkout, out in zip((args.other, ROOT), outs, strict=True):
                out.mkdir()
                run_maskdet(checkout.resolve(), words, out, args.data)
            n_values, changed = compare_folders(*outs)
        is_equal = is_equal and bool(n_values) and not changed
        lines.append(f"| {name} | {n_values} | {len(changed)} |")
        for line in changed[:10] if n_values else ["nothing was written to compare"]:
            print(f"{name}: {line}", file=sys.stderr)
    report = "\n".join(lines) + "\n"
    print(report, end="")
    if args.report:
        args.report.write_text(report)
    return int(not is_equal)


def compare_folders(before: Path, after: Path) -> tuple[int, list[str]]:
    """Return the number of values in two folders, and one line for each difference."""
    values = [dict(iterate_values(folder)) for folder in (before, after)]
    return len({*values[0], *values[1]}), find_differences(*values)


def run_maskdet(checkout: Path, words: list[str], out: Path, data: Path | None) -> None:
    """Run a command of one checkout; its own messages are shown only if it fails."""
    command = [word.format(out=out, data=data and data.resolve()) for word in words]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    run = subprocess.run(
        [sys.executable, "-m", "maskdet", *command],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(f"{checkout}: maskdet {' '.join(command)}\n{run.stderr or run.stdout}")


def iterate_values(folder: Path) -> Iterator[tuple[str, object]]:
    """Name and value of everything in the files of a folder."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".json":
            # Paths below the folder of the run differ in nothing but that folder.
            text = path.read_text().replace(str(folder), "")
            yield from iterate_leaves(json.loads(text), name)
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                yield from iterate_leaves(list(csv.DictReader(file)), name)
        elif path.suffix == ".mp4":
            with av.open(path) as container:
                for i, frame in enumerate(container.decode(video=0)):
                    yield f"{name}[{i}]", hash(frame.to_ndarray().tobytes())
        elif path.is_file():
            content = np.fromfile(path, np.uint8)
            image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
            pixels = content if image is None else image
            yield name, (pixels.shape, hash(pixels.tobytes()))


def iterate_leaves(value: object, name: str) -> Iterator[tuple[str, object]]:
    """The scalars of nested lists and dictionaries, without versions and times."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not any(word in str(key) for word in UNSTABLE):
                yield from iterate_leaves(item, f"{name}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from iterate_leaves(item, f"{name}[{i}]")
    else:
        yield name, value


def find_differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """One line for each name that is missing on a side or has another value."""
    return [
        f"{name}: {before.get(name, 'missing')} -> {after.get(name, 'missing')}"
        for name in sorted({*before, *after})
        if name not in before
        or name not in after
        or not equal_values(before[name], after[name])
    ]


def equal_values(before: object, after: object) -> bool:
    """Whether scalars are equal; numbers, also as text of a CSV, up to float noise."""
    if before == after:
        return True
    try:
        return math.isclose(
            float(str(before)), float(str(after)), rel_tol=TOLERANCE, abs_tol=TOLERANCE
        )
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
