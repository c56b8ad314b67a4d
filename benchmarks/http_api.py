"""Images per second of `maskdet serve` beside those of `maskdet detect`, in one run.

Run `python benchmarks/http_api.py` from the root of the project, on an idle machine.
Both get the same images (`--images FOLDER`, by default the samples, repeated) in turns.
`detect` is timed without its start: the time for one image is subtracted. The clients
of the server send one image in each request, over several connections.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maskdet.media import find_images
from tests.helpers.servers import serve_api

ROOT = Path(__file__).resolve().parents[1]
MASKDET = [sys.executable, "-m", "maskdet"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT / "samples", metavar="DIR")
    parser.add_argument("--count", type=int, default=200, help="images a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    found = find_images(args.images).images
    if not found:
        parser.error(f"no images in {args.images}")
    paths = list(itertools.islice(itertools.cycle(found), args.count))
    contents = [path.read_bytes() for path in paths]
    rows: list[dict[str, float]] = []
    with serve_api("--max-waiting", "10000") as url:
        for _ in range(args.rounds):
            command_rate = measure_command(paths)
            api_rate, times_s = measure_api(url, contents, args.connections)
            rows.append(
                {
                    "detect_images_per_s": command_rate,
                    "serve_images_per_s": api_rate,
                    "ratio": api_rate / command_rate,
                    "p50_ms": 1e3 * float(np.percentile(times_s, 50)),
                    "p99_ms": 1e3 * float(np.percentile(times_s, 99)),
                }
            )
            print("  ".join(f"{name} {value:.2f}" for name, value in rows[-1].items()))
    medians = {name: median(row[name] for row in rows) for name in rows[0]}
    print(
        "median: ", "  ".join(f"{name} {value:.2f}" for name, value in medians.items())
    )
    if args.json:
        args.json.write_text(json.dumps({"rounds": rows, "median": medians}, indent=2))
    return 0


def measure_command(paths: Sequence[Path]) -> float:
    """Return images per second of `detect`, without its start."""
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths):
            shutil.copy(path, Path(folder, f"{number:05d}{path.suffix}"))
        one = time_command([Path(folder, f"00000{paths[0].suffix}")])
        return (len(paths) - 1) / (time_command([Path(folder)]) - one)


def time_command(arguments: Sequence[Path]) -> float:
    """Return the time of one `detect` command in seconds."""
    started_s = time.perf_counter()
    subprocess.run(
        [*MASKDET, "detect", *map(str, arguments), "--json", "-"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started_s


def measure_api(
    url: str, contents: Sequence[bytes], n_connections: int
) -> tuple[float, list[float]]:
    """Return images per second of the server, and the time of each request."""
    pending, times_s = iter(contents), []
    lock = threading.Lock()

    def send() -> None:
        with requests.Session() as session:
            while True:
                with lock:
                    content = next(pending, None)
                if content is None:
                    return
                started_s = time.perf_counter()
                response = session.post(f"{url}/v1/images", data=content, timeout=300)
                response.raise_for_status()
                times_s.append(time.perf_counter() - started_s)

    threads = [threading.Thread(target=send) for _ in range(n_connections)]
    started_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(contents) / (time.perf_counter() - started_s), times_s


if __name__ == "__main__":
    raise SystemExit(main())
