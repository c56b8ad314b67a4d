"""Analyzers are lent to one session at a time; a reload does not load another."""

from __future__ import annotations

import threading

import pytest

from maskdet.types import Scene
from maskdet.web.session import AnalyzerKey, AnalyzerPool, PooledAnalyzer
from tests.helpers.streams import NOISE
from tests.helpers.waiting import WAIT_S

FAST = AnalyzerKey("onepass-fast", "maskdet", True)
GOOD = AnalyzerKey("onepass", "maskdet", True)
OTHER = AnalyzerKey("onepass-fast", "tutorial", True)


class Nothing:
    def analyze(self, image, settings=None) -> Scene:
        return Scene.empty()


class House:
    """A pool, the sessions whose browsers are connected, and what was loaded."""

    def __init__(self) -> None:
        self.active: set[str] = set()
        self.loaded: list[AnalyzerKey] = []
        self.pool = AnalyzerPool(self._load, self.active.__contains__)

    def _load(self, choice: AnalyzerKey) -> Nothing:
        self.loaded.append(choice)
        return Nothing()

    def acquire(self, session: str, choice: AnalyzerKey = FAST) -> PooledAnalyzer:
        self.active.add(session)
        return self.pool.acquire(choice, session)


@pytest.fixture
def house() -> House:
    return House()


def test_a_session_keeps_what_it_has_and_another_gets_its_own(house) -> None:
    first = house.acquire("a")
    assert house.acquire("a") is first
    second = house.acquire("b")
    assert second is not first
    assert second.analyzer is not first.analyzer
    assert house.acquire("a") is first
    assert house.loaded == [FAST, FAST]


def test_twenty_reloads_load_nothing(house) -> None:
    lent = set()
    for number in range(20):
        lent |= {house.acquire(f"{number}"), house.acquire(f"{number}", GOOD)}
        house.active.clear()
    assert house.loaded == [FAST, GOOD]
    assert len(lent) == len(house.pool) == 2


def test_a_session_that_comes_back_does_not_share(house) -> None:
    first = house.acquire("a")
    house.active.clear()
    assert house.acquire("b") is first
    assert house.acquire("a") is not first
    assert house.acquire("b") is first


def test_what_is_given_back_goes_to_the_next_who_wants_the_same(house) -> None:
    first = house.acquire("a")
    house.pool.release(first, "b")
    assert house.acquire("b") is not first, "only who has it gives it back"
    house.pool.release(first, "a")
    assert house.acquire("c", OTHER) is not first
    assert house.acquire("c") is first


def test_of_those_that_nobody_uses_the_latest_stay(house) -> None:
    for number in range(5):
        house.acquire(f"{number}")
    house.acquire("last", GOOD)
    assert len(house.pool) == 6
    house.active.clear()
    house.pool.evict_idle()
    assert len(house.pool) == 2
    n_loaded = len(house.loaded)
    house.acquire("new", GOOD)
    house.acquire("new", FAST)
    assert len(house.loaded) == n_loaded


def test_who_tries_many_analyzers_keeps_only_what_is_in_use(house) -> None:
    for number in range(10):
        choice = AnalyzerKey(f"{number}", "maskdet", True)
        house.pool.release(house.acquire("a", choice), "a")
    assert len(house.pool) == 2


def test_a_model_that_is_missing_leaves_the_pool_as_it_was(house, monkeypatch) -> None:
    def load(choice: AnalyzerKey) -> Nothing:
        raise FileNotFoundError("get it")

    monkeypatch.setattr(house.pool, "_load", load)
    with pytest.raises(FileNotFoundError, match="get it"):
        house.acquire("a")
    assert len(house.pool) == 0


def test_it_takes_one_caller_at_a_time() -> None:
    inside, most = [], []

    class Slow:
        def analyze(self, image, settings=None) -> Scene:
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.01)
            inside.pop()
            return Scene.empty()

    shared = PooledAnalyzer(FAST, Slow())
    callers = [threading.Thread(target=shared.analyze, args=(NOISE,)) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(WAIT_S)
    assert most == [1] * 8
