"""Tests of the messages about missing optional libraries."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest

from maskdet.cli import main
from maskdet.detectors import load_detector
from maskdet.events.database import StoreError
from maskdet.events.store import EventStore
from maskdet.extras import (
    LIBRARIES,
    MissingExtraError,
    describe_missing_library,
    is_installed,
    require_libraries,
)
from maskdet.web import session

SAMPLES = Path(__file__).resolve().parents[1] / "samples"

HideLibrary = Callable[[str], None]


class RefusingPathFinder(MetaPathFinder):
    """An import hook that raises an error for one module."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name, path=None, target=None):
        if name == self.name or name.startswith(f"{self.name}."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> HideLibrary:
    """Return a function that makes a library unavailable."""

    def hide_library(name: str) -> None:
        monkeypatch.setitem(sys.modules, name, None)

    return hide_library


@pytest.mark.parametrize("name", LIBRARIES)
def test_all_libraries_are_installed_for_the_tests(name: str) -> None:
    assert is_installed(name)
    assert describe_missing_library("this", name) == ""


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_library_is_named_with_its_extra(
    name: str, hide: HideLibrary
) -> None:
    hide(name)
    title, extra = LIBRARIES[name]
    with pytest.raises(MissingExtraError) as caught:
        require_libraries("maskdet tea", "sqlalchemy", name)
    line = f"maskdet tea needs {title}: pip install 'maskdet[{extra}]'"
    assert str(caught.value) == line


def test_is_installed_handles_errors_of_import_hooks(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "vl_convert", raising=False)
    monkeypatch.setattr(
        sys, "meta_path", [RefusingPathFinder("vl_convert"), *sys.meta_path]
    )
    assert not is_installed("vl_convert")
    assert not is_installed("vl_convert.part")
    assert is_installed("lz4")


@pytest.mark.parametrize(
    ("words", "library", "expected"),
    [
        ("train classifier --data faces", "tensorflow", "maskdet train needs TensorF"),
        ("train onepass --data a --out b", "tensorflow", "maskdet train needs TensorF"),
        ("export runs/mine", "tensorflow", "maskdet export needs TensorFlow"),
        ("export runs/mine", "vl_convert", "maskdet export needs vl-convert"),
        ("tune {image} --report b", "vl_convert", "maskdet tune --report needs vl-co"),
        ("export runs/mine --onnx", "tf2onnx", "maskdet export --onnx needs tf2onnx"),
        (
            "evaluate scenes a.json --report b",
            "vl_convert",
            "maskdet evaluate --report ne",
        ),
        ("evaluate faces a.csv --report b", "vl_convert", "maskdet evaluate --report "),
        ("app", "streamlit", "maskdet app needs Streamlit"),
        ("app", "vl_convert", "maskdet app needs vl-convert"),
        ("events", "sqlalchemy", "maskdet events needs SQLAlchemy"),
        ("video {video} --record", "sqlalchemy", "maskdet video --record needs SQLAlc"),
        (
            "video {video} --alert no_mask --mqtt mqtt://host",
            "paho.mqtt.client",
            "maskdet video --mqtt needs paho-mqtt",
        ),
        ("detect {image} --analyzer yunet", "onnxruntime", "the detector yunet needs"),
        ("detect {image} --analyzer mtcnn", "mtcnn", "the detector mtcnn needs"),
        ("detect {image} --analyzer mtcnn", "onnx", "the detector mtcnn needs"),
        (
            "label faces --detector mtcnn --out a",
            "joblib",
            "the detector mtcnn needs",
        ),
        ("events postgresql://h/n", "psycopg", "a PostgreSQL database needs psycopg"),
    ],
)
def test_a_command_without_its_library_fails_with_one_line(
    words: str,
    library: str,
    expected: str,
    hide: HideLibrary,
    capsys,
    tmp_path,
    monkeypatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces" / "mask").mkdir(parents=True)
    (tmp_path / "faces" / "mask" / "a.jpg").write_bytes(
        (SAMPLES / "portrait-mask.jpg").read_bytes()
    )
    hide(library)
    paths = {"video": SAMPLES / "video.mp4", "image": SAMPLES / "group.jpg"}
    assert main([word.format(**paths) for word in words.split()]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(
        expected if expected.startswith("maskdet ") else f"maskdet: {expected}"
    )
    assert line.endswith(f": pip install 'maskdet[{LIBRARIES[library].extra}]'")
    assert captured.out == ""


def test_an_unknown_database_driver_is_named_without_an_extra(
    hide: HideLibrary,
) -> None:
    hide("psycopg2")
    with pytest.raises(StoreError, match=r"driver of postgresql .* missing: psyc"):
        EventStore("postgresql+psycopg2://host/name")


@pytest.mark.parametrize(
    ("name", "library"), [("yunet", "onnxruntime"), ("mtcnn", "lz4")]
)
def test_the_dashboard_does_not_offer_detectors_without_their_library(
    name: str, library: str, hide: HideLibrary, monkeypatch
) -> None:
    monkeypatch.setattr(session, "model_path", lambda name: SAMPLES)
    assert session.list_unavailable_analyzers() == {}
    hide(library)
    with pytest.raises(MissingExtraError) as caught:
        load_detector(name)
    assert session.list_unavailable_analyzers() == {name: str(caught.value)}
