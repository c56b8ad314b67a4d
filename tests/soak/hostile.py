"""Give thousands of hostile files to the command line, the HTTP API and the pages.

Run `make hostile` on Linux. Damaged images and videos, bombs, zips whose names lead out
of them, and impossible settings and links are made from seeds, so that each can be made
again: `python tests/soak/hostile.py --only images --first 1234 --images 1`. They are
read in processes of their own, each with a time limit, so that a native crash is seen.
With strace installed, every file that these processes write is known, and one outside
of their folder is a failure. The exit status is 1 if there is any failure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from maskdet.threads import count_cores
from tests.soak.written_files import (
    find_tracer,
    make_trace_command,
    read_written_files,
)

ROOT: Final = Path(__file__).resolve().parents[2]
WORKER: Final = Path(__file__).resolve().parent / "hostile_worker.py"

COUNTS: Final = {"images": 2000, "videos": 200, "zips": 100, "settings": 100}

START_TIMEOUT_S: Final = 180.0
TIME_LIMITS_S: Final = {
    "images": 60.0,
    "videos": 150.0,
    "zips": 240.0,
    "settings": 60.0,
}
"""A longer input is a hang: several times what the slowest one takes."""

# What a program may write outside of its folder: devices without content, and the
# scratch folder of a video in memory, which must be gone at the end.
_ALLOWED_PLACES: Final = ("/dev/null", "/dev/tty", "/dev/shm/maskdet-video-", "pipe:")
SCRATCH: Final = Path("/dev/shm")


@dataclass
class Findings:
    """What became of the inputs of one kind.

    Attributes:
        kind: a key of `COUNTS`.
        n_inputs: number of inputs.
        outcomes: number of inputs by door and outcome.
        problems: one entry for each failure, with its seed.
        written: files that the processes wrote; `None` if they were not traced.
        slowest: seconds and seed of the slowest input.
    """

    kind: str
    n_inputs: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    written: set[str] | None = None
    slowest: tuple[float, int] = (0.0, 0)

    def add(self, result: dict[str, object], took_s: float) -> None:
        """Count the result of an input."""
        seed, outcomes, problems = (
            result[name] for name in ("seed", "outcomes", "problems")
        )
        assert isinstance(seed, int)
        assert isinstance(outcomes, dict)
        assert isinstance(problems, list)
        self.n_inputs += 1
        self.outcomes.update(outcomes.items())
        self.problems += [f"seed {seed}: {problem}" for problem in problems]
        self.slowest = max(self.slowest, (took_s, seed))


class WorkerEndedError(Exception):
    """The worker crashed or did not finish; the message says which."""


class Worker:
    """A process that reads hostile files in a folder of its own."""

    def __init__(self, kind: str, folder: Path, *, trace: bool) -> None:
        """Start it, and wait until its models are loaded."""
        places = {name: folder / name for name in ("work", "tmp", "home")}
        for place in places.values():
            place.mkdir(exist_ok=True)
        wrapper = make_trace_command(folder / "trace") if trace else []
        self._errors = (folder / "errors.txt").open("a+", encoding="utf-8")
        self._process = subprocess.Popen(
            [*wrapper, sys.executable, str(WORKER), kind],
            cwd=places["work"],
            env=os.environ
            | {"TMPDIR": str(places["tmp"]), "HOME": str(places["home"])}
            | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        pid = self._receive(START_TIMEOUT_S)["pid"]
        assert isinstance(pid, int)
        self._pid = pid

    def try_seed(self, seed: int, limit_s: float) -> dict[str, object]:
        """Return what became of the input of a seed.

        Raises:
            WorkerEndedError: the process crashed or took too long; it has ended.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seed}\n")
        self._process.stdin.flush()
        return self._receive(limit_s)

    def _receive(self, limit_s: float) -> dict[str, object]:
        assert self._process.stdout is not None
        if not _is_readable(self._process.stdout, limit_s):
            self.close()
            raise WorkerEndedError(f"hang: not done after {limit_s:g} s")
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            raise WorkerEndedError(
                f"crash: exit status {status}: {self._errors.read()[-2000:]}"
            )
        result: dict[str, object] = json.loads(line)
        return result

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None and hasattr(self, "_pid"):
            # Not the tracer, which would let the process go on.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        elif self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def finish(self) -> None:
        """Let the process end by itself, with all that it has to clean up."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self.close()


def _is_readable(stream: IO[str], limit_s: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return bool(selector.select(limit_s))


def try_seeds(
    kind: str, seeds: Sequence[int], folder: Path, *, trace: bool
) -> Findings:
    """Give the inputs of some seeds to a worker; start another one after a crash."""
    findings, worker = Findings(kind), None
    folder.mkdir()
    for seed in seeds:
        begin_s = time.monotonic()
        try:
            if worker is None:
                worker = Worker(kind, folder, trace=trace)
                begin_s = time.monotonic()
            result = worker.try_seed(seed, TIME_LIMITS_S[kind])
        except WorkerEndedError as error:
            result = {"seed": seed, "outcomes": {}, "problems": [str(error)]}
            worker = None
        findings.add(result, time.monotonic() - begin_s)
    if worker is not None:
        worker.finish()
    if trace:
        findings.written = read_written_files(folder / "trace", folder / "work")
    findings.problems += _find_traces_of_work(findings, folder)
    return findings


def _find_traces_of_work(findings: Findings, folder: Path) -> Iterator[str]:
    """Yield a line for each file outside of the folder, and for each one left over."""
    allowed = (f"{folder}/", *_ALLOWED_PLACES)
    for path in sorted(findings.written or ()):
        if not path.startswith(allowed):
            yield f"written outside of the folder: {path}"
    for left in (folder / "tmp").iterdir():
        yield f"left in the temporary folder: {left.name}"
    for name in findings.written or ():
        if name.startswith(f"{SCRATCH}/") and Path(name).exists():
            yield f"left in memory: {name}"


def split_seeds(seeds: Sequence[int], n_workers: int) -> list[Sequence[int]]:
    """Return the seeds of each worker; fewer workers if there are not enough seeds."""
    return [seeds[first::n_workers] for first in range(min(n_workers, len(seeds)))]


def merge(kind: str, parts: Sequence[Findings]) -> Findings:
    """Return the findings of several workers together."""
    whole = Findings(kind)
    for part in parts:
        whole.n_inputs += part.n_inputs
        whole.outcomes += part.outcomes
        whole.problems += part.problems
        whole.slowest = max(whole.slowest, part.slowest)
        if part.written is not None:
            whole.written = (whole.written or set()) | part.written
    return whole


def format_findings(findings: Findings) -> str:
    """Return a few lines: inputs, outcomes, the slowest one, failures."""
    doors = dict.fromkeys(door for door, _ in findings.outcomes)
    counts = "; ".join(
        f"{door}: {findings.outcomes[door, 'read']} read, "
        f"{findings.outcomes[door, 'rejected']} rejected"
        for door in doors
    )
    written = (
        "files not traced, as strace is not installed"
        if findings.written is None
        else f"{len(findings.written)} files written"
    )
    took_s, seed = findings.slowest
    return "\n".join(
        [
            f"{findings.n_inputs} {findings.kind}: {len(findings.problems)} failures, "
            f"{written}, slowest {took_s:.1f} s (seed {seed})",
            f"  {counts}",
            *(f"  {problem}" for problem in findings.problems),
        ]
    )


def main() -> int:
    """Try all kinds; 1 if there was a failure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for kind, count in COUNTS.items():
        parser.add_argument(f"--{kind}", type=int, default=count, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--only", choices=COUNTS)
    parser.add_argument("--workers", type=int, default=count_cores())
    options = parser.parse_args()
    trace = find_tracer() is not None
    n_problems = 0
    for kind in [options.only] if options.only else COUNTS:
        seeds = range(options.first, options.first + getattr(options, kind))
        with (
            tempfile.TemporaryDirectory() as place,
            ThreadPoolExecutor(options.workers) as executor,
        ):
            jobs = [
                executor.submit(
                    try_seeds,
                    kind,
                    part,
                    Path(place).resolve() / str(number),
                    trace=trace,
                )
                for number, part in enumerate(split_seeds(seeds, options.workers))
            ]
            findings = merge(kind, [job.result() for job in jobs])
        print(format_findings(findings), flush=True)
        n_problems += len(findings.problems)
    return int(n_problems > 0)


if __name__ == "__main__":
    sys.exit(main())
