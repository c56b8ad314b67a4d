"""Workers on Ray: dead ones, a cluster, killed runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset
import pytest

from maskdet import __version__
from maskdet.batch import ray_engine
from maskdet.batch.analysis import BatchOptions
from maskdet.batch.ray_engine import RayEngine
from maskdet.batch.tasks import BatchTask
from maskdet.cli import EXIT_INTERRUPTED
from maskdet.extras import is_installed
from tests.batch.batch_files import make_file, make_image_result, write_images
from tests.helpers.waiting import WAIT_S, wait_until

# Not imported here: the engine sets variables that Ray reads when it is imported.
pytestmark = [
    pytest.mark.skipif(not is_installed("ray"), reason="needs Ray"),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

GROUP = Path(__file__).resolve().parents[2] / "samples" / "group.jpg"
OPTIONS = BatchOptions("onepass", "onepass-fast", "maskdet")


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    """Ray with two workers; the analyzers are replaced in `FakeWorker`."""
    with RayEngine(OPTIONS, ["image"], n_workers=2) as engine:
        yield engine
    assert "RAY_AUTH_TOKEN" not in os.environ
    assert not list_ray_folders(os.getpid())


def use_worker(engine: RayEngine, monkeypatch, folder: Path, deadly: dict) -> None:
    """Replace the worker by one that dies with some files.

    Args:
        engine: the engine.
        monkeypatch: restores the worker.
        folder: for files that count deaths.
        deadly: how often the worker dies with a file, by path.
    """

    class FakeWorker:
        def __init__(self, options):
            pass

        def load(self, kinds):
            return __version__

        def analyze(self, task):
            for file in task.files:
                deaths = folder / f"{Path(file.path).stem}.deaths"
                n = len(deaths.read_text()) if deaths.exists() else 0
                if n < deadly.get(file.path, 0):
                    deaths.write_text("x" * (n + 1))
                    os.kill(os.getpid(), signal.SIGKILL)
            return [make_image_result(file) for file in task.files]

    make = engine._ray.remote(num_cpus=1)(FakeWorker).remote
    monkeypatch.setattr(engine, "_make_worker", make)


def make_image_tasks(n: int) -> list[BatchTask]:
    files = [make_file(f"{number}.jpg") for number in range(2 * n)]
    return [BatchTask(tuple(files[i : i + 2])) for i in range(0, 2 * n, 2)]


def run_tasks(engine: RayEngine, tasks: list[BatchTask]) -> dict[str, str | None]:
    """Return the error of each file, by path; each is there once."""
    results = [result for group in engine.run(tasks) for result in group]
    errors = {result.file.path: result.record["error"] for result in results}
    assert len(errors) == len(results)
    return errors


def test_a_task_whose_worker_dies_is_repeated(engine, monkeypatch, tmp_path) -> None:
    notices: list[str] = []
    monkeypatch.setattr(engine, "_on_notice", notices.append)
    use_worker(engine, monkeypatch, tmp_path, {"3.jpg": 1})
    errors = run_tasks(engine, make_image_tasks(4))
    assert errors == {f"{number}.jpg": None for number in range(8)}
    assert notices == ["a worker has died; its files are analyzed again"]


def test_a_file_that_kills_every_worker_gets_an_error(
    engine, monkeypatch, tmp_path
) -> None:
    use_worker(engine, monkeypatch, tmp_path, {"3.jpg": 100})
    errors = run_tasks(engine, make_image_tasks(4))
    assert errors.pop("3.jpg") == "the worker died each time it analyzed this file"
    assert set(errors.values()) == {None}
    assert len(errors) == 7
    # Twice with its neighbour, and once alone.
    assert (tmp_path / "3.deaths").read_text() == "xxx"


def test_an_analyzer_that_cannot_be_loaded_ends_the_run(engine, monkeypatch) -> None:
    options = BatchOptions("missing", "onepass-fast", "maskdet")
    monkeypatch.setattr(engine, "_options", options)
    with pytest.raises(ValueError, match="analyzer must be one of") as raised:
        run_tasks(engine, make_image_tasks(1))
    assert "\n" not in str(raised.value)


def test_ray_listens_on_the_loopback_interface_only(engine) -> None:
    inodes = {
        os.readlink(link).removeprefix("socket:[").removesuffix("]")
        for pid in list_descendants(os.getpid())
        for link in iterate_links(Path("/proc", str(pid), "fd"))
        if os.readlink(link).startswith("socket:[")
    }
    addresses = set()
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # it listens
                addresses.add(fields[1].partition(":")[0])
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "0" * 24 + "01000000"}
    assert addresses
    assert addresses <= loopback
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 32
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_the_same_command_runs_on_a_cluster(engine, tmp_path) -> None:
    write_images(tmp_path / "in", 6)
    address = engine._ray.get_runtime_context().gcs_address
    shown = run_command("in", "--out", "out", "--ray", address, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("6 files in ")
    assert " with 2 workers: " in shown.stdout
    assert len(read_paths(tmp_path / "out")) == 6


def test_a_cluster_that_does_not_exist_costs_a_line(tmp_path) -> None:
    write_images(tmp_path / "in", 1)
    shown = run_command("in", "--out", "out", "--ray", "127.0.0.1:1", cwd=tmp_path)
    assert shown.returncode == 1
    (line,) = shown.stderr.splitlines()
    assert line.startswith("maskdet: --ray 127.0.0.1:1: the cluster cannot be reached")


def test_the_result_is_complete_after_a_worker_was_killed(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(100):  # large enough that most of them are left
        shutil.copy(GROUP, tmp_path / "in" / f"{number:03}.jpg")
    process = start_command("in", "--out", "out", "--workers", "2", cwd=tmp_path)
    wait_for_part(process, tmp_path)
    os.kill(list_descendants(process.pid, "ray::_Worker")[0], signal.SIGKILL)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    assert "maskdet: a worker has died; its files are analyzed again\n" in err
    assert out.startswith("100 files in ")
    assert "(raylet)" not in out + err
    assert len(read_paths(tmp_path / "out")) == 100
    images = json.loads((tmp_path / "out" / "images.json").read_text())["images"]
    assert len(images) == 100


def test_sigterm_ends_a_run_with_a_line(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(100):
        shutil.copy(GROUP, tmp_path / "in" / f"{number:03}.jpg")
    process = start_command("in", "--out", "out", "--workers", "2", cwd=tmp_path)
    wait_for_part(process, tmp_path)
    process.terminate()
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == EXIT_INTERRUPTED
    *progress, line = err.splitlines()
    assert line == "maskdet: stopped; the same command continues"
    assert all(" of 100 files" in text for text in progress)  # no trace of Ray
    assert not list_ray_folders(process.pid)


def test_a_killed_run_continues(tmp_path) -> None:
    write_images(tmp_path / "in", 60)
    words = "in", "--out", "out", "--workers"
    process = start_command(*words, "2", cwd=tmp_path)
    parts = wait_for_part(process, tmp_path)
    children = list_descendants(process.pid)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(is_alive, children)), "the end of Ray")
    n_done = len(read_paths(tmp_path / "out"))
    assert n_done > 0
    before = {part: part.stat().st_mtime_ns for part in parts}
    shown = run_command(*words, "1", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert f"{n_done} file" in shown.stderr
    assert len(read_paths(tmp_path / "out")) == 60
    assert {part: part.stat().st_mtime_ns for part in before} == before
    # The next run on Ray deletes the folder of the killed one.
    assert list_ray_folders(process.pid)
    folder = ray_engine._make_ray_folder()
    assert not list_ray_folders(process.pid)
    folder.rmdir()


def wait_for_part(process: subprocess.Popen[str], folder: Path) -> list[Path]:
    """Return the finished parts of a run as soon as there is one."""
    parts: list[Path] = []

    def has_part() -> bool:
        parts[:] = (folder / "out").rglob("*.parquet")
        return bool(parts) or process.poll() is not None

    wait_until(has_part, "the first part")
    assert process.poll() is None, process.communicate()
    return parts


def start_command(*words: str, cwd: Path) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "maskdet", "batch", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    process = start_command(*words, cwd=cwd)
    out, err = process.communicate(timeout=WAIT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def read_paths(out: Path) -> list[str]:
    """Return the paths of all images of the results; each is there once."""
    dataset = pyarrow.dataset.dataset(out / "images", partitioning="hive")
    paths = dataset.to_table(["path"])["path"].to_pylist()
    assert len(set(paths)) == len(paths)
    return paths


def list_ray_folders(pid: int) -> list[Path]:
    return list(Path("/tmp").glob(f"{ray_engine._FOLDER_PREFIX}{pid}-*"))


def list_descendants(pid: int, title: str = "") -> list[int]:
    """Return the processes below a process whose command begins with a title."""
    parents: dict[int, int] = {}
    titles: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_text().rpartition(") ")[2].split()
                titles[int(folder.name)] = (folder / "cmdline").read_text()
            except (OSError, UnicodeDecodeError):
                continue
            parents[int(folder.name)] = int(stat[1])

    def is_below(process: int) -> bool:
        while process in parents:
            process = parents[process]
            if process == pid:
                return True
        return False

    return [
        process
        for process, text in titles.items()
        if text.startswith(title) and is_below(process)
    ]


def is_alive(pid: int) -> bool:
    try:
        state = Path("/proc", str(pid), "stat").read_text().rpartition(") ")[2]
    except OSError:
        return False
    return not state.startswith("Z")


def iterate_links(folder: Path) -> Iterator[Path]:
    try:
        yield from list(folder.iterdir())
    except OSError:
        return
