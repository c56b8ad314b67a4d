"""Use the Live page for a long time, and see whether the server returns to its start.

Run `make soak MINUTES=30 VIEWERS=4` on an idle Linux machine. The viewers send video
with aiortc, as in `benchmarks/viewers.py`. They press Start and Stop again and again,
reload the page, and some are killed. The program prints a table with
start, maximum and end of the numbers of the server, and draws them over time. Its exit
status is 1 if threads, files or memory do not return, or if a viewer got no video.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.soak.figures import Series, format_table, write_charts
from tests.soak.processes import (
    FORGET_S,
    ReceivedFrames,
    SoakedServer,
    ViewerEndedError,
    ViewerProcess,
)

CYCLES_PER_MINUTE = 200 / 30
WARM_UP_CYCLES = 3  # of each viewer, before the start is measured
MIN_WATCH_S = 2.0

REST_TIMEOUT_S = 90.0

MAX_MORE_RSS = 0.1
"""The memory has returned if it is at most this fraction above the start."""

# Above the start: pools grow until their first moment with everything busy.
MAX_NEW_POOLED_THREADS = 10
MAX_NEW_DATABASE_FILES = 15  # five pooled connections, of three files each

POOLED_THREAD = re.compile(r".*_\d+|AnyIO worker thread")

Ending = Literal["stop", "reload", "kill"]

# Of ten cycles seven end with Stop, two with a reload and one with a killed browser.
ENDINGS: tuple[Ending, ...] = (
    *("stop", "stop", "reload", "stop", "stop", "kill"),
    *("stop", "reload", "stop", "stop"),
)


@dataclass
class Soak:
    """A server, its viewers, and what was measured.

    Attributes:
        server: the dashboard.
        n_viewers: number of viewers at a time.
        frames: what they received.
        series: numbers over time.
        endings: number of cycles by how they ended.
        failures: what went wrong, in a line each.
    """

    server: SoakedServer
    n_viewers: int
    frames: ReceivedFrames = field(default_factory=ReceivedFrames)
    series: Series = field(default_factory=Series)
    endings: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    async def watch(self, n_cycles: int, period_s: float) -> None:
        """Let all viewers Start and Stop at the same time.

        Args:
            n_cycles: of all viewers together.
            period_s: time from a Start to the next one of the same viewer.
        """
        numbers = [
            range(first, n_cycles, self.n_viewers) for first in range(self.n_viewers)
        ]
        await asyncio.gather(*(self._watch_as_one(own, period_s) for own in numbers))

    async def _watch_as_one(self, numbers: range, period_s: float) -> None:
        viewer: ViewerProcess | None = None
        for number in numbers:
            begin_s = time.monotonic()
            # Each viewer has the endings in another order.
            ending = ENDINGS[(number // self.n_viewers + 3 * number) % len(ENDINGS)]
            try:
                if viewer is None:
                    viewer = await ViewerProcess.open(self.server, self.frames)
                await viewer.press("start")
                rest_s = begin_s + period_s - time.monotonic()
                await asyncio.sleep(max(MIN_WATCH_S, rest_s))
                if ending != "kill":
                    await viewer.press(ending)
                self.endings[ending] += 1
            except (TimeoutError, ViewerEndedError) as error:
                reason = str(error) or "no page or no video"
                self.failures.append(f"cycle {number} ({ending}): {reason}")
                ending = "kill"
            if ending == "kill" and viewer is not None:
                await viewer.kill()
                viewer = None
        if viewer is not None:
            try:
                await viewer.press("leave")
            except (TimeoutError, ViewerEndedError) as error:
                self.failures.append(f"leave: {str(error) or 'not done'}")
            await viewer.kill()

    async def measure(self, interval_s: float) -> None:
        """Measure until the task is cancelled or the server has ended."""
        while self.server.is_running:
            begin_s = time.monotonic()
            await asyncio.sleep(interval_s)
            if self.server.is_running:
                latencies_s = self.frames.latencies_since(begin_s)
                passed_s = time.monotonic() - begin_s
                self.series.add(
                    self.server.measure()
                    | {"analyzed frames/s": len(latencies_s) / passed_s}
                    | summarize_latencies(latencies_s)
                )
        self.failures.append("the server ended")

    async def rest(self) -> dict[str, float]:
        """Wait until all visitors are forgotten, and return the numbers then."""
        async with asyncio.timeout(REST_TIMEOUT_S):
            while self.server.count_visitors():
                await asyncio.sleep(1)
        # No other visitor comes meanwhile, whose arrival would free what they left.
        await asyncio.sleep(FORGET_S)
        return self.server.measure()


def summarize_latencies(latencies_s: list[float]) -> dict[str, float]:
    """Return median and 95th percentile; nothing without frames."""
    if not latencies_s:
        return {}
    median, high = np.quantile(latencies_s, [0.5, 0.95])
    return {"latency p50, s": float(median), "latency p95, s": float(high)}


async def run_soak(soak: Soak, minutes: float, n_cycles: int) -> bool:
    """Warm up, measure the start, watch, and measure the end; whether it returned."""
    await soak.watch(WARM_UP_CYCLES * soak.n_viewers, 10)
    start = await soak.rest()
    start_names = soak.server.read_figures()["thread names"]
    start_files = soak.server.list_files()
    soak.endings.clear()
    measuring = asyncio.create_task(soak.measure(max(1.0, minutes / 6)))
    await soak.watch(n_cycles, 60 * minutes * soak.n_viewers / n_cycles)
    end = await soak.rest()
    end_names = soak.server.read_figures()["thread names"]
    new_files = soak.server.list_files() - start_files
    measuring.cancel()
    print(format_table(soak.series, start, end))
    endings = ", ".join(f"{n} {name}" for name, n in soak.endings.most_common())
    print(
        f"{sum(soak.endings.values())} cycles ({endings}), {len(soak.failures)} failed"
    )
    for line in soak.failures:
        print(f"  {line}")
    n_new_pooled = max(0, count_pooled(end_names) - count_pooled(start_names))
    database = str(soak.server.events_file)
    n_new_pooled_files = sum(n for name, n in new_files.items() if database in name)
    limits = {
        "threads": start["threads"] + min(n_new_pooled, MAX_NEW_POOLED_THREADS),
        "open files": start["open files"]
        + min(n_new_pooled_files, MAX_NEW_DATABASE_FILES),
        "RSS, MB": start["RSS, MB"] * (1 + MAX_MORE_RSS),
    }
    higher = [name for name, limit in limits.items() if end[name] > limit]
    print(f"did not return: {', '.join(higher) or 'nothing'}")
    if "threads" in higher:
        print(f"  threads at the start: {', '.join(start_names)}")
        print(f"  threads at the end: {', '.join(end_names)}")
    if "open files" in higher:
        print(f"  open at the end, but not at the start: {dict(new_files)}")
    errors = soak.server.list_errors()
    print(f"tracebacks in the log of the server: {errors.total()}")
    for line, count in errors.items():
        print(f"  {count} times {line}")
    return not (higher or soak.failures or errors)


def count_pooled(names: list[str]) -> int:
    """Return the number of threads of pools, whose size is limited."""
    return sum(bool(POOLED_THREAD.fullmatch(name)) for name in names)


def check_events(file: Path) -> bool:
    """Print the state of the events after the server was killed; whether it is well."""
    with sqlite3.connect(file) as connection:
        (state,) = connection.execute("PRAGMA integrity_check").fetchone()
        (n_events,) = connection.execute(
            "SELECT count(*) FROM maskdet_events"
        ).fetchone()
    print(f"events after kill -9: {n_events} in the database, integrity {state}")
    return bool(state == "ok" and n_events > 0)


def main() -> int:
    """Run the test; 1 if something did not return or failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--viewers", type=int, default=4)
    parser.add_argument("--cycles", type=int, help="default: 200 in 30 minutes")
    parser.add_argument("--out", type=Path, default=Path("soak.html"))
    options = parser.parse_args()
    # Without this, the server would go on when the test is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    n_cycles = options.cycles or max(
        options.viewers, round(CYCLES_PER_MINUTE * options.minutes)
    )
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(SoakedServer(Path(folder), options.viewers), options.viewers)
        try:
            is_well = asyncio.run(run_soak(soak, options.minutes, n_cycles))
            write_charts(options.out, soak.series)
            print(f"wrote {options.out}")
        except TimeoutError:
            print("visitors or streams remain after all have left")
            print(soak.server.read_figures())
            is_well = False
        finally:
            soak.server.kill()
        return 0 if check_events(soak.server.events_file) and is_well else 1


if __name__ == "__main__":
    sys.exit(main())
