"""Loaded analyzers, each lent to one session at a time and then to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from maskdet.analyzer import Analyzer
from maskdet.types import Image, Scene, Settings

KEEP_IDLE: Final = 2
"""So many analyzers stay loaded for the next visitor: one for video, one for images."""


@dataclass(frozen=True)
class Choice:
    """What an analyzer is loaded by.

    Attributes:
        name: a name in `ANALYZERS`.
        classifier: which mask model classifies.
        second_look: whether it checks large faces again.
    """

    name: str
    classifier: str
    second_look: bool


@dataclass(eq=False)
class Loaded:
    """An analyzer that takes one caller at a time: its networks keep their input.

    The thread of an abandoned stream may still hold it when the next session gets it.
    """

    choice: Choice
    analyzer: Analyzer
    session: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        """Wait for the other callers, then analyze; see `Analyzer.analyze`."""
        with self._lock:
            return self.analyzer.analyze(image, settings)


class Pool:
    """Lends analyzers to sessions.

    One that is given back, or whose session is gone, goes to the next session that
    wants the same. An analyzer shared by all would make visitors wait for each other,
    frame by frame.
    """

    def __init__(
        self,
        load: Callable[[Choice], Analyzer],
        is_active: Callable[[str], bool],
        keep_idle: int = KEEP_IDLE,
    ) -> None:
        """Start without any.

        Args:
            load: loads an analyzer.
            is_active: whether the browser of a session is still connected.
            keep_idle: how many that nobody uses stay loaded.
        """
        self._load, self._is_active, self._keep_idle = load, is_active, keep_idle
        self._lock = threading.Lock()
        self._all: list[Loaded] = []  # the one lent last is the last

    def __len__(self) -> int:
        """Return how many are loaded."""
        return len(self._all)

    def lend(self, choice: Choice, session: str) -> Loaded:
        """Return the analyzer that a session has, one that nobody uses, or a new one.

        Raises:
            FileNotFoundError: a model is missing; the message says how to get it.
            RuntimeError: a model is broken.
        """
        with self._lock:
            found = self._find(choice, session)
        # Loading takes seconds, in which others may borrow.
        found = found or Loaded(choice, self._load(choice), session)
        with self._lock:
            if found in self._all:
                self._all.remove(found)
            self._all.append(found)
        self.tidy()
        return found

    def give_back(self, loaded: Loaded, session: str) -> None:
        """Let the next session have an analyzer, if this session still has it."""
        with self._lock:
            if loaded.session == session:
                loaded.session = ""
        self.tidy()

    def tidy(self) -> None:
        """Forget analyzers that nobody uses, but for those that were used last."""
        with self._lock:
            idle = [each for each in self._all if self._is_idle(each)]
            for each in idle[: max(0, len(idle) - self._keep_idle)]:
                self._all.remove(each)

    def _find(self, choice: Choice, session: str) -> Loaded | None:
        fitting = [each for each in self._all if each.choice == choice]
        own = next((each for each in fitting if each.session == session), None)
        found = own or next(filter(self._is_idle, fitting), None)
        if found is not None:
            found.session = session
        return found

    def _is_idle(self, loaded: Loaded) -> bool:
        return not loaded.session or not self._is_active(loaded.session)
