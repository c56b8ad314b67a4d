"""Run the tasks of a batch on Ray: processes of this machine, or of a cluster.

On this machine, Ray listens on the loopback interface only and asks for a random token;
it sends no usage statistics, has no dashboard, and its folder is deleted at the end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from maskdet import __version__
from maskdet.batch.analysis import (
    BatchOptions,
    FileAnalyzer,
    FileResult,
    make_error_result,
)
from maskdet.batch.inputs import FileKind
from maskdet.batch.tasks import BatchTask
from maskdet.extras import require_libraries

_COMMON_VARIABLES: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it would install packages
}
_LOCAL_VARIABLES: Final = {
    # Despite its name it is read on Linux, too: without clusters, Ray uses 127.0.0.1.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
}
_TOKEN: Final = secrets.token_hex(16)
"""Ray reads the token once, so a process has one."""

_FOLDER_PREFIX: Final = "maskdet-ray-"
_OBJECT_STORE_BYTES: Final = 100 * 2**20
"""Results are small; Ray would reserve 30 % of the memory."""

_CONNECT_S: Final = 10.0

_N_STARTS: Final = 3
"""Ray gives up starting after 30 s, which a busy machine may need."""

_MAX_DEATHS_IN_A_ROW: Final = 20
"""So many workers may die without a result in between; then something else is wrong."""


class _Worker:
    """An actor: a process that keeps its models."""

    def __init__(self, options: BatchOptions) -> None:
        self._analyzer = FileAnalyzer(options)

    def load(self, kinds: Sequence[FileKind]) -> str:
        """Load the analyzers; return the version of maskdet."""
        self._analyzer.load(kinds)
        return __version__

    def analyze(self, task: BatchTask) -> list[FileResult]:
        """Return the results of a task."""
        return self._analyzer.analyze(task.files)


class RayEngine:
    """Runs tasks on Ray; use it as a context manager, which stops Ray at the end.

    Attributes:
        n_workers: number of workers.
    """

    def __init__(
        self,
        options: BatchOptions,
        kinds: Sequence[FileKind],
        *,
        n_workers: int = 0,
        address: str = "",
        on_notice: Callable[[str], None] = lambda notice: None,
    ) -> None:
        """Start Ray on this machine, or connect to a cluster.

        Args:
            options: how files are analyzed.
            kinds: kinds of files, whose analyzers are loaded at the start.
            n_workers: workers on this machine.
            address: address of a cluster, which gets a worker for each of its CPUs.
            on_notice: called with one line when a worker has died.

        Raises:
            MissingExtraError: Ray is not installed.
            RuntimeError: Ray does not start, or the cluster cannot be reached.
        """
        require_libraries("maskdet batch with several workers", "ray")
        self._options, self._kinds, self._on_notice = options, kinds, on_notice
        self._resources = contextlib.ExitStack()
        try:
            self._ray = self._resources.enter_context(
                _connect(address) if address else _start_local(n_workers)
            )
        except BaseException:
            self._resources.close()
            raise
        self.n_workers = n_workers or max(1, int(self._ray.cluster_resources()["CPU"]))
        self._make_worker = self._ray.remote(num_cpus=1)(_Worker).remote
        self._idle: deque[Any] = deque()
        self._loading: dict[Any, Any] = {}
        self._running: dict[Any, tuple[Any, BatchTask]] = {}
        self._n_deaths_in_a_row = 0

    def __enter__(self) -> RayEngine:
        """Return the engine."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the workers and Ray."""
        self._resources.close()

    def run(self, tasks: Sequence[BatchTask]) -> Iterator[list[FileResult]]:
        """Yield the results of each task; a task whose worker dies is repeated.

        Raises:
            ValueError, OSError, RuntimeError: the analyzers cannot be loaded, or no
                worker survives.
        """
        try:
            yield from self._run(deque(tasks))
        finally:
            self._stop_workers()

    def _run(self, waiting: deque[BatchTask]) -> Iterator[list[FileResult]]:
        for _ in range(min(self.n_workers, len(waiting))):
            self._start_worker()
        while waiting or self._running:
            while waiting and self._idle:
                worker, task = self._idle.popleft(), waiting.popleft()
                self._running[worker.analyze.remote(task)] = worker, task
            finished, _ = self._ray.wait([*self._running, *self._loading])
            for reference in finished:
                if reference in self._loading:
                    self._finish_loading(reference)
                    continue
                worker, task = self._running.pop(reference)
                results = self._fetch(reference)
                if results is None:
                    retried = task.retry()
                    waiting.extendleft(reversed(retried))
                    if waiting:
                        self._start_worker()
                    results = [] if retried else [_make_death_result(task)]
                else:
                    self._idle.append(worker)
                yield results

    def _stop_workers(self) -> None:
        """Give the workers back, which a cluster may need for others."""
        running = [worker for worker, _ in self._running.values()]
        for worker in [*self._idle, *self._loading.values(), *running]:
            self._ray.kill(worker)
        self._idle.clear()
        self._loading.clear()
        self._running.clear()

    def _start_worker(self) -> None:
        worker = self._make_worker(self._options)
        self._loading[worker.load.remote(self._kinds)] = worker

    def _finish_loading(self, reference: Any) -> None:
        worker = self._loading.pop(reference)
        version = self._fetch(reference)
        if version is None:
            self._start_worker()
            return
        if version != __version__:
            raise RuntimeError(
                f"a machine of the cluster has maskdet {version}, this one "
                f"{__version__}; install the same version on all"
            )
        self._idle.append(worker)

    def _fetch(self, reference: Any) -> Any:
        """Return the result of a call, or None if the worker has died."""
        errors = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except errors.RayTaskError as error:
            # Raised in the worker, for example because a model is missing.
            raise _to_plain_error(error) from None
        except errors.RayError as error:
            self._n_deaths_in_a_row += 1
            if self._n_deaths_in_a_row > _MAX_DEATHS_IN_A_ROW:
                raise RuntimeError(
                    f"{self._n_deaths_in_a_row} workers have died one after the other; "
                    f"Ray reports: {_get_first_line(error)}"
                ) from None
            self._on_notice("a worker has died; its files are analyzed again")
            return None
        self._n_deaths_in_a_row = 0
        return result


def _make_death_result(task: BatchTask) -> FileResult:
    return make_error_result(
        task.files[0], "the worker died each time it analyzed this file"
    )


def _to_plain_error(error: Any) -> Exception:
    """Return the error of a worker without the traceback that Ray adds."""
    cause = error.cause
    if isinstance(cause, ValueError | OSError | RuntimeError):
        return cause
    return RuntimeError(f"{type(cause).__name__}: {cause}")


def _get_first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _start_local(n_workers: int) -> Iterator[Any]:
    """Start Ray on this machine; yield its module."""
    with contextlib.ExitStack() as resources:
        resources.enter_context(
            _set_variables({**_COMMON_VARIABLES, **_LOCAL_VARIABLES})
        )
        resources.enter_context(_set_variables({"RAY_AUTH_TOKEN": _TOKEN}))
        folder = _make_ray_folder()
        resources.callback(shutil.rmtree, folder, ignore_errors=True)
        ray = _import_ray()
        resources.callback(ray.shutdown)
        for n_attempts_left in reversed(range(_N_STARTS)):
            try:
                _init(
                    ray,
                    address="local",
                    num_cpus=n_workers,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _temp_dir=str(folder),
                )
                break
            except Exception as error:
                ray.shutdown()
                if not n_attempts_left:
                    raise RuntimeError(
                        f"Ray does not start: {_get_first_line(error)}"
                    ) from None
        yield ray


@contextlib.contextmanager
def _connect(address: str) -> Iterator[Any]:
    """Connect to a cluster; yield the module of Ray."""
    with _set_variables(_COMMON_VARIABLES):
        ray = _import_ray()
        try:
            try:
                _check_address(address)
                _init(ray, address=address)
            except Exception as error:
                raise RuntimeError(
                    f"--ray {address}: the cluster cannot be reached: "
                    f"{_get_first_line(error)}"
                ) from None
            yield ray
        finally:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Connect to a host and port; Ray would try for minutes.

    Raises:
        OSError: nothing listens there.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


def _import_ray() -> Any:
    """Return the module of Ray, which prints nothing."""
    import ray

    # When a worker dies, Ray prints a paragraph on stdout; no option prevents that.
    worker_module = ray._private.worker
    if hasattr(worker_module, "print_to_stdstream"):
        worker_module.print_to_stdstream = lambda *args, **options: None
    return ray


def _init(ray: Any, **options: Any) -> None:
    ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)


@contextlib.contextmanager
def _set_variables(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables, which Ray hands on to its processes."""
    previous = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _make_ray_folder() -> Path:
    """Create a folder for Ray; delete those whose process was killed."""
    # Ray's sockets are in it, and a path of a socket has 107 bytes at most.
    parent = Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())
    for folder in parent.glob(f"{_FOLDER_PREFIX}*"):
        if not _is_running(folder.name.split("-")[2]):
            shutil.rmtree(folder, ignore_errors=True)
    prefix = f"{_FOLDER_PREFIX}{os.getpid()}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))


def _is_running(pid_text: str) -> bool:
    """Return whether a process may be running."""
    if os.name != "posix" or not pid_text.isdecimal():  # a signal 0 ends it on Windows
        return True
    try:
        os.kill(int(pid_text), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
