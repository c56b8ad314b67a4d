"""A server with fake models, and a client of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from starlette.testclient import TestClient

from maskdet.analyzers.pipelines import TwoStage
from maskdet.http_api import server as server_module
from maskdet.http_api.application import create_application
from maskdet.http_api.config import ApiConfig
from maskdet.types import Image, Scene
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.helpers.waiting import WAIT_S

BOXES = [[5, 5, 45, 55], [60, 10, 90, 50]]
SCORES = [0.9, 0.3]

Serve = Callable[..., AbstractContextManager[TestClient]]


class GatedAnalyzer:
    """Waits for a gate before each image."""

    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate
        self._inner = TwoStage(
            FakeDetector(BOXES, SCORES), FakeClassifier((0.7, 0.2, 0.1))
        )

    def analyze(self, image: Image, settings=None) -> Scene:
        assert self._gate.wait(WAIT_S)
        return self._inner.analyze(image, settings)


@pytest.fixture
def gate() -> threading.Event:
    """Images wait while it is clear; at first it is set."""
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def loaded_names(monkeypatch, gate) -> list[str]:
    """Replace the models; return the names that were loaded."""
    names: list[str] = []

    def load(name, classifier, *, refine):
        names.append(name)
        return GatedAnalyzer(gate)

    monkeypatch.setattr(server_module, "load_analyzer", load)
    return names


@pytest.fixture
def serve(loaded_names) -> Serve:
    """Return a context manager of a client for the fields of a configuration."""

    @contextmanager
    def start(**fields) -> Iterator[TestClient]:
        config = ApiConfig(**{"n_workers": 1, **fields})
        application = create_application(config)
        application.state.server.workers.warm_up(config.analyzer)
        with TestClient(application, base_url="http://localhost") as client:
            yield client

    return start


@pytest.fixture
def client(serve) -> Iterator[TestClient]:
    with serve() as started:
        yield started
