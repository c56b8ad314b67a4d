"""A visitor's film while it is looked at: a thread of its own, never a rerun."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias
from weakref import WeakValueDictionary

import cv2
import numpy as np

from maskdet.analyzer import Analyzer
from maskdet.films import Progress, RowFile, VideoReport, Wanted, analyze_film
from maskdet.media import Film, FilmLimits, encode_jpeg, open_video_file
from maskdet.types import Image
from maskdet.web.video_plan import Plan, Shown
from maskdet.web.video_scratch import Scratch

_log = logging.getLogger(__name__)

State: TypeAlias = Literal["waiting", "working", "done", "failed", "closed"]

MAX_MINUTES: Final = 30
"""How long a visitor's film may be."""

LIMITS: Final = FilmLimits(max_s=60.0 * MAX_MINUTES)

GONE_S: Final = 120.0
"""A visitor who is away for so long has left: Streamlit forgets them then, too."""

_LOOK_FOR_VISITOR_S: Final = 5.0
_LOOK_FOR_TURN_S: Final = 0.1
_PREVIEW_SIDE_PX: Final = 640

_turns = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
"""So many films at once on this server; who comes later waits, the page does not."""

_queue: Final[set[FilmJob]] = set()
"""The films that wait for their turn."""

_by_tab: Final[WeakValueDictionary[str, FilmJob]] = WeakValueDictionary()
"""The films by the tab that each was begun in: a reload makes a visitor a new one."""

_numbers = itertools.count(1)

_TOO_LONG: Final = f"the film is longer than {MAX_MINUTES} minutes; please cut it"
_BROKE: Final = "something went wrong while looking at this film; the log says what"


class FilmJob:
    """One film of one visitor, from its bytes to its result.

    Attributes:
        number: tells results apart; looking again gives a new one.
        name: the film's file name; written by a stranger, so only shown as plain text.
        plan: how it is looked at.
        state: `waiting` for its turn, `working`, `done`, `failed`, or `closed`.
        shown: how far it is.
        report: what was found; None until `done`.
        problem: one line on why it `failed`, else empty.
    """

    def __init__(
        self,
        name: str,
        film: bytes | Path,
        plan: Plan,
        load: Callable[[Plan], Analyzer],
        *,
        present: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take a film; `start` begins.

        Args:
            name: its file name.
            film: what is in the file, or where it lies.
            plan: how to look at it.
            load: gives a plan's analyzer, which nobody else uses; called in the thread.
            present: whether the visitor is still there; asked now and then.

        Raises:
            OSError: there is no room for it.
        """
        self.number = next(_numbers)
        self.name, self.plan = name, plan
        self.state: State = "waiting"
        self.shown = Shown()
        self.report: VideoReport | None = None
        self.problem = ""
        self._load, self._present = load, present
        self._closed, self._stopped = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._active = self._has_turn = False
        self._film: Film | None = None
        size = len(film) if isinstance(film, bytes) else film.stat().st_size
        self._scratch = Scratch(size)
        self._put_down(film)

    @property
    def busy(self) -> bool:
        """Whether there is no result yet."""
        return self.state in ("waiting", "working")

    @property
    def in_memory(self) -> bool:
        """Whether its files lie in memory, not on a disk."""
        return self._scratch.in_memory

    @property
    def annotated(self) -> Path | None:
        """The annotated film, once there is one."""
        return None if self.report is None else self.report.out

    @property
    def rows(self) -> Path:
        """The CSV file with everybody in every picture."""
        return self._scratch.path / "rows.csv"

    @property
    def _source(self) -> Path:
        return self._scratch.path / "film"

    def _put_down(self, film: bytes | Path) -> None:
        """Write the film where it is read from."""
        try:
            if isinstance(film, bytes):
                self._source.write_bytes(film)
            else:
                shutil.copyfile(film, self._source)
        except OSError:
            self._scratch.close()
            raise

    def start(self, plan: Plan | None = None) -> None:
        """Begin, or begin anew; returns at once, and does nothing while it is busy.

        Args:
            plan: how to look at the film from now on; as before if it is not given.
        """
        with self._lock:
            if self._closed.is_set() or self._active:
                return
            first = self._thread is None
            self._active = True
            self.plan = plan or self.plan
            self.number = next(_numbers)
            self.state, self.shown = "waiting", Shown()
            self.report, self.problem = None, ""
            self._stopped.clear()
            self._thread = threading.Thread(
                target=self._run, name=f"film {self.number}", daemon=True
            )
            self._thread.start()
        if first:
            threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """End early and keep what was found until then."""
        self._stopped.set()
        film = self._film
        if film is not None:
            film.stop()

    def close(self) -> None:
        """Give everything up and delete all files; may be called twice."""
        with self._lock:
            self._closed.set()
            active = self._active
        self.stop()
        # A thread that still works deletes its files itself, when it has let go.
        if not active:
            self._drop()

    def keep_for(self, tab: str) -> None:
        """Let `find_again` find it for a tab, as long as it is not closed.

        Args:
            tab: a secret number of the visitor's tab; nothing is kept for an empty one.
        """
        if tab:
            _by_tab[tab] = self

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread; return whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self._active

    def _run(self) -> None:
        try:
            if not self._wait_for_turn():
                self._fail("the film was stopped before its turn came")
                return
            try:
                self.report = self._look()
                self.state = "done"
            finally:
                self._end_turn()
        except (ValueError, OSError) as error:
            self._fail(_reason(error))
        except Exception:
            _log.exception("a film could not be looked at")
            self._fail(_BROKE)
        finally:
            self._film = None
            with self._lock:
                self._active = False
                closed = self._closed.is_set()
            if closed:
                self._drop()

    def _wait_for_turn(self) -> bool:
        """Return whether its turn has come, and not the order to stop."""
        self.state = "waiting"
        _queue.add(self)
        try:
            while self._comes_last() or not _turns.acquire(timeout=_LOOK_FOR_TURN_S):
                if self._stopped.wait(_LOOK_FOR_TURN_S):
                    return False
        finally:
            _queue.discard(self)
        self.state, self._has_turn = "working", True
        return True

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            _turns.release()

    def _comes_last(self) -> bool:
        """Return whether its visitor is away, and another who is there waits."""
        others = [other for other in list(_queue) if other is not self]
        return (
            bool(others)
            and not self._present()
            and any(other._present() for other in others)
        )

    def _must_stop(self) -> bool:
        """Return whether to stop, after others whose visitors are there went first."""
        if self._comes_last():
            self._end_turn()
            self._wait_for_turn()
        return self._stopped.is_set()

    def _look(self) -> VideoReport:
        """Do the work."""
        analyzer = self._load(self.plan)
        chosen, folder = self.plan.preferences, self._scratch.path
        with (
            open_video_file(
                self._source, LIMITS, every=self.plan.every, rotate=self.plan.rotate
            ) as self._film,
            RowFile(self.rows) as rows,
        ):
            # Else a visitor would wait half an hour for this news.
            info = self._film.info
            if info.duration_s > LIMITS.max_s and not info.duration_is_estimate:
                raise ValueError(_TOO_LONG)
            wanted = Wanted(
                style=chosen.style,
                out=folder / "annotated.mp4",
                rows=rows,
                every=self.plan.every,
                keep_crops=self.plan.keep_crops,
                keep_part=True,
            )
            report = analyze_film(
                self._film,
                analyzer,
                chosen.settings,
                wanted,
                name=self.name,
                progress=self._hear,
                cancelled=self._must_stop,
            )
            if not report.n_frames:
                raise ValueError("the film was stopped before its first picture")
            rows.keep()
        return report

    def _hear(self, now: Progress) -> None:
        seen = self.shown.preview
        if now.preview is not None:
            seen = encode_jpeg(_small(now.preview))
        self.shown = Shown(now.done, now.left_s, now.time_s, now.n_pictures, seen)

    def _fail(self, line: str) -> None:
        self.problem, self.state = line, "failed"

    def _drop(self) -> None:
        self.report, self.shown, self.state = None, Shown(), "closed"
        self._scratch.close()

    def _watch(self) -> None:
        """Close when the visitor has left."""
        gone_s = 0.0
        while not self._closed.wait(_LOOK_FOR_VISITOR_S):
            gone_s = 0.0 if self._present() else gone_s + _LOOK_FOR_VISITOR_S
            if gone_s >= GONE_S:
                self.close()


def find_again(tab: str, present: Callable[[], bool]) -> FilmJob | None:
    """Return the film that was begun in a tab before its page was loaded anew.

    One whose visitor is still there is not given: the tab was copied.

    Args:
        tab: as in `FilmJob.keep_for`.
        present: whether the visitor, in the new session, is still there.
    """
    found = _by_tab.get(tab)
    if found is None or found.state == "closed" or found._present():
        return None
    found._present = present
    return found


def _small(image: Image) -> Image:
    scale = _PREVIEW_SIDE_PX / max(image.shape[:2])
    if scale >= 1:
        return image
    smaller = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8)


def _reason(error: Exception) -> str:
    """Return one line without a path of this server."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "this server has no room for this film; please use a smaller one"
    if isinstance(error, OSError) and error.errno is not None:
        return f"this server cannot work on the film: {error.strerror}"
    return str(error)
