"""The analyzer pool: one session per analyzer, reuse, eviction, garbage."""

from __future__ import annotations

import gc
import threading
import tomllib
import weakref
from contextlib import suppress
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.config import get_config_options

from maskdet.analyzers.recent_checks import RecentChecks
from maskdet.settings import Settings
from maskdet.types import Scene
from maskdet.web import session
from maskdet.web.cameras.feeds import CameraFeeds
from maskdet.web.server import launch
from maskdet.web.session import AnalyzerKey, AnalyzerPool, PooledAnalyzer
from tests.helpers.servers import ROOT
from tests.helpers.streams import NOISE
from tests.helpers.waiting import WAIT_S, wait_until

FAST = AnalyzerKey("onepass-fast", "maskdet", True)
GOOD = AnalyzerKey("onepass", "maskdet", True)
OTHER = AnalyzerKey("onepass-fast", "tutorial", True)


class EmptyAnalyzer:
    def analyze(self, image, settings=None) -> Scene:
        return Scene.empty()


class PoolFixture:
    """A pool with simulated sessions that records loaded analyzers."""

    def __init__(self) -> None:
        self.active: set[str] = set()
        self.loaded: list[AnalyzerKey] = []
        self.pool = AnalyzerPool(self._load, self.active.__contains__)

    def _load(self, choice: AnalyzerKey) -> EmptyAnalyzer:
        self.loaded.append(choice)
        return EmptyAnalyzer()

    def acquire(self, session: str, choice: AnalyzerKey = FAST) -> PooledAnalyzer:
        self.active.add(session)
        return self.pool.acquire(choice, session)


@pytest.fixture
def fixture() -> PoolFixture:
    return PoolFixture()


def test_each_session_has_its_own_analyzer(fixture) -> None:
    first = fixture.acquire("a")
    assert fixture.acquire("a") is first
    second = fixture.acquire("b")
    assert second is not first
    assert second.analyzer is not first.analyzer
    assert fixture.acquire("a") is first
    assert fixture.loaded == [FAST, FAST]


def test_the_last_image_of_a_visitor_who_left_is_overwritten(fixture) -> None:
    seen: list[np.ndarray] = []

    class Recording(EmptyAnalyzer):
        def analyze(self, image, settings=None) -> Scene:
            seen.append(image)
            return super().analyze(image, settings)

    fixture.pool = AnalyzerPool(lambda key: Recording(), fixture.active.__contains__)
    pooled = fixture.acquire("a")
    pooled.analyze(NOISE)
    pooled.analyze_frame(NOISE[:60], Settings(), RecentChecks())
    fixture.pool.forget_images()
    assert len(seen) == 2, "the visitor is still there"
    fixture.active.clear()
    for _ in range(2):
        fixture.pool.forget_images()
    assert len(seen) == 3, "once is enough"
    assert seen[-1].shape == NOISE[:60].shape
    assert not seen[-1].any()


def test_reloads_reuse_loaded_analyzers(fixture) -> None:
    pooled = set()
    for number in range(20):
        pooled |= {fixture.acquire(f"{number}"), fixture.acquire(f"{number}", GOOD)}
        fixture.active.clear()
    assert fixture.loaded == [FAST, GOOD]
    assert len(pooled) == len(fixture.pool) == 2


def test_a_returning_session_gets_its_own_analyzer(fixture) -> None:
    first = fixture.acquire("a")
    fixture.active.clear()
    assert fixture.acquire("b") is first
    assert fixture.acquire("a") is not first
    assert fixture.acquire("b") is first


def test_a_released_analyzer_is_reused_for_the_same_key(fixture) -> None:
    first = fixture.acquire("a")
    fixture.pool.release(first, "b")
    assert fixture.acquire("b") is not first, "only its own session can release it"
    fixture.pool.release(first, "a")
    assert fixture.acquire("c", OTHER) is not first
    assert fixture.acquire("c") is first


def test_the_most_recently_used_idle_analyzers_stay(fixture) -> None:
    for number in range(5):
        fixture.acquire(f"{number}")
    fixture.acquire("last", GOOD)
    assert len(fixture.pool) == 6
    fixture.active.clear()
    fixture.pool.evict_idle()
    assert len(fixture.pool) == 2
    n_loaded = len(fixture.loaded)
    fixture.acquire("new", GOOD)
    fixture.acquire("new", FAST)
    assert len(fixture.loaded) == n_loaded


def test_trying_many_analyzers_does_not_grow_the_pool(fixture) -> None:
    for number in range(10):
        choice = AnalyzerKey(f"{number}", "maskdet", True)
        fixture.pool.release(fixture.acquire("a", choice), "a")
    assert len(fixture.pool) == 2


def test_a_missing_model_does_not_change_the_pool(fixture, monkeypatch) -> None:
    def load(choice: AnalyzerKey) -> EmptyAnalyzer:
        raise FileNotFoundError("get it")

    monkeypatch.setattr(fixture.pool, "_load", load)
    with pytest.raises(FileNotFoundError, match="get it"):
        fixture.acquire("a")
    assert len(fixture.pool) == 0


def test_an_analyzer_has_one_caller_at_a_time() -> None:
    running, n_running = [], []

    class Slow:
        def analyze(self, image, settings=None) -> Scene:
            running.append(1)
            n_running.append(len(running))
            threading.Event().wait(0.01)
            running.pop()
            return Scene.empty()

    shared = PooledAnalyzer(FAST, Slow())
    callers = [threading.Thread(target=shared.analyze, args=(NOISE,)) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(WAIT_S)
    assert n_running == [1] * 8


def test_streamlit_does_not_collect_garbage_after_each_run() -> None:
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config["runner"]["postScriptGC"] is False
    assert "runner.postScriptGC" in get_config_options(), "Streamlit has the option"


class Ring:
    """Garbage, once it is not referenced elsewhere."""

    def __init__(self) -> None:
        self.me = self


def test_frozen_objects_are_collected_by_the_next_call() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    session.collect_and_freeze()
    assert gc.get_freeze_count() > 1000
    del ring
    gc.collect()
    assert gone() is not None, "frozen"
    session.collect_and_freeze()
    assert gone() is None


def test_the_garbage_timer_survives_an_error_of_the_pool(monkeypatch) -> None:
    monkeypatch.setattr(session, "COLLECT_INTERVAL_S", 0.02)
    freeze_counts: list[int] = []

    class Pool:
        def evict_idle(self) -> None:
            freeze_counts.append(gc.get_freeze_count())
            if len(freeze_counts) < 3:  # the thread runs until the end of the tests
                raise OSError("no such luck")

        def forget_images(self) -> None:
            pass

    monkeypatch.setattr(session, "_get_pool", Pool)
    session._start_collector.cache_clear()  # the app may have run
    ring = weakref.ref(Ring())
    before = n_collectors()
    session.start_garbage_collector()
    session.start_garbage_collector()
    wait_until(lambda: len(freeze_counts) > 3, "the timer")
    assert ring() is None
    assert n_collectors() == before + 1, "only one thread after two calls"


def test_visitors_who_come_together_start_one_garbage_timer(monkeypatch) -> None:
    started: list[str] = []
    meeting = threading.Barrier(2)

    class SlowThread:
        def __init__(self, *, target, name: str, daemon: bool) -> None:
            with suppress(threading.BrokenBarrierError):
                meeting.wait(0.2)  # only with a second one is it not broken
            started.append(name)

        def start(self) -> None:
            pass

    monkeypatch.setattr(session, "threading", SimpleNamespace(Thread=SlowThread))
    session._start_collector.cache_clear()
    visitors = [
        threading.Thread(target=session.start_garbage_collector) for _ in range(2)
    ]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    session._start_collector.cache_clear()  # nothing was started
    assert started == ["maskdet-garbage"]


def n_collectors() -> int:
    names = [thread.name for thread in threading.enumerate()]
    return names.count("maskdet-garbage")


def test_the_default_analyzers_wait_for_the_first_visitor(
    fixture: PoolFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_get_pool", lambda: fixture.pool)
    session.preload_analyzers()
    assert fixture.loaded == [FAST, GOOD]
    fixture.acquire("visitor", FAST)
    fixture.acquire("visitor", GOOD)
    assert fixture.loaded == [FAST, GOOD], "nothing was loaded again"


def test_a_missing_model_does_not_stop_the_preloading(
    fixture: PoolFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(choice: AnalyzerKey) -> EmptyAnalyzer:
        if choice == FAST:
            raise FileNotFoundError("get it")
        return EmptyAnalyzer()

    monkeypatch.setattr(fixture.pool, "_load", load)
    monkeypatch.setattr(session, "_get_pool", lambda: fixture.pool)
    session.preload_analyzers()
    assert len(fixture.pool) == 1


def test_the_server_warms_up_once_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    results = iter([False, True, True])

    def exists() -> bool:
        steps.append("asked")
        return next(results)

    # The instance is there before its constructor has ended.
    instances = iter([SimpleNamespace(), SimpleNamespace(state="running")])
    monkeypatch.setattr(launch.runtime, "exists", exists)
    monkeypatch.setattr(launch.runtime, "get_instance", lambda: next(instances))
    monkeypatch.setattr(launch.importlib, "import_module", steps.append)
    monkeypatch.setattr(session, "preload_analyzers", lambda: steps.append("models"))
    monkeypatch.setattr(
        CameraFeeds, "watch", lambda feeds, cameras: steps.append("cameras")
    )
    # On a busy machine the server may need minutes.
    minutes = SimpleNamespace(
        sleep=lambda wait_s: None, monotonic=count(0, 60).__next__
    )
    monkeypatch.setattr(launch, "time", minutes)
    launch.warm_up()
    assert steps[:5] == [*["asked"] * 3, "cameras", "models"]
    assert {"aiortc", "scipy.optimize", "maskdet.web.image.page"} <= {*steps}
