"""Loaded analyzers, each lent to one session at a time and then to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from maskdet.analyzer import Analyzer
from maskdet.types import Image, Scene, Settings

MAX_IDLE_ANALYZERS: Final = 2
"""So many analyzers stay loaded for the next visitor: one for video, one for images."""


@dataclass(frozen=True)
class AnalyzerKey:
    """What an analyzer is loaded by.

    Attributes:
        name: a name in `ANALYZERS`.
        classifier: which mask model classifies.
        refine: whether it checks large faces again.
    """

    name: str
    classifier: str
    refine: bool


@dataclass(eq=False)
class PooledAnalyzer:
    """An analyzer that takes one caller at a time: its networks keep their input.

    The thread of an abandoned stream may still hold it when the next session gets it.
    """

    key: AnalyzerKey
    analyzer: Analyzer
    session_id: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Wait for the other callers, then analyze; see `Analyzer.analyze`."""
        with self._lock:
            return self.analyzer.analyze(image, settings)


class AnalyzerPool:
    """Lends analyzers to sessions.

    One that is given back, or whose session is gone, goes to the next session that
    wants the same. An analyzer shared by all would make visitors wait for each other,
    frame by frame.
    """

    def __init__(
        self,
        load: Callable[[AnalyzerKey], Analyzer],
        is_active: Callable[[str], bool],
        max_idle: int = MAX_IDLE_ANALYZERS,
    ) -> None:
        """Start without any.

        Args:
            load: loads an analyzer.
            is_active: whether the browser of a session is still connected.
            max_idle: how many that nobody uses stay loaded.
        """
        self._load, self._is_active, self._max_idle = load, is_active, max_idle
        self._lock = threading.Lock()
        self._analyzers: list[PooledAnalyzer] = []  # the one lent last is the last

    def __len__(self) -> int:
        """Return how many are loaded."""
        return len(self._analyzers)

    def acquire(self, key: AnalyzerKey, session_id: str) -> PooledAnalyzer:
        """Return the analyzer that a session has, one that nobody uses, or a new one.

        Raises:
            FileNotFoundError: a model is missing; the message says how to get it.
            RuntimeError: a model is broken.
        """
        with self._lock:
            pooled = self._claim(key, session_id)
        # Loading takes seconds, in which others may borrow.
        pooled = pooled or PooledAnalyzer(key, self._load(key), session_id)
        with self._lock:
            if pooled in self._analyzers:
                self._analyzers.remove(pooled)
            self._analyzers.append(pooled)
        self.evict_idle()
        return pooled

    def release(self, pooled: PooledAnalyzer, session_id: str) -> None:
        """Let the next session have an analyzer, if this session still has it."""
        with self._lock:
            if pooled.session_id == session_id:
                pooled.session_id = ""
        self.evict_idle()

    def evict_idle(self) -> None:
        """Forget analyzers that nobody uses, but for those that were used last."""
        with self._lock:
            idle = [pooled for pooled in self._analyzers if self._is_idle(pooled)]
            for pooled in idle[: max(0, len(idle) - self._max_idle)]:
                self._analyzers.remove(pooled)

    def _claim(self, key: AnalyzerKey, session_id: str) -> PooledAnalyzer | None:
        matching = [pooled for pooled in self._analyzers if pooled.key == key]
        session_analyzer = next(
            (pooled for pooled in matching if pooled.session_id == session_id), None
        )
        claimed = session_analyzer or next(filter(self._is_idle, matching), None)
        if claimed is not None:
            claimed.session_id = session_id
        return claimed

    def _is_idle(self, pooled: PooledAnalyzer) -> bool:
        return not pooled.session_id or not self._is_active(pooled.session_id)
