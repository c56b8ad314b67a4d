"""What is not installed is named in one line, with the extra that installs it."""

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

Hide = Callable[[str], None]


class Hiding(MetaPathFinder):
    """Finds nothing, loudly."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name, path=None, target=None):
        if name == self.name or name.startswith(f"{self.name}."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Make a library look as if it were not installed."""

    def hidden(name: str) -> None:
        monkeypatch.setitem(sys.modules, name, None)

    return hidden


@pytest.mark.parametrize("name", LIBRARIES)
def test_all_of_them_are_installed_where_tests_run(name: str) -> None:
    assert is_installed(name)
    assert describe_missing_library("this", name) == ""


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_that_is_not_installed_is_named(name: str, hide: Hide) -> None:
    hide(name)
    title, extra = LIBRARIES[name]
    with pytest.raises(MissingExtraError) as caught:
        require_libraries("maskdet tea", "sqlalchemy", name)
    line = f"maskdet tea needs {title}: pip install 'maskdet[{extra}]'"
    assert str(caught.value) == line


def test_a_finder_that_refuses_is_understood(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "vl_convert", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Hiding("vl_convert"), *sys.meta_path])
    assert not is_installed("vl_convert")
    assert not is_installed("vl_convert.part")
    assert is_installed("lz4")


@pytest.mark.parametrize(
    ("words", "library", "says"),
    [
        ("train classifier --data faces", "tensorflow", "maskdet train needs TensorF"),
        ("train onepass --data a --out b", "tensorflow", "maskdet train needs TensorF"),
        ("export runs/mine", "tensorflow", "maskdet export needs TensorFlow"),
        ("export runs/mine", "altair", "maskdet export needs Altair"),
        ("export runs/mine --onnx", "tf2onnx", "maskdet export --onnx needs tf2onnx"),
        ("evaluate scenes a.json --report b", "altair", "maskdet evaluate --report ne"),
        ("evaluate faces a.csv --report b", "vl_convert", "maskdet evaluate --report "),
        ("app", "streamlit", "maskdet app needs Streamlit"),
        ("events", "sqlalchemy", "maskdet events needs SQLAlchemy"),
        ("video {video} --record", "sqlalchemy", "maskdet video --record needs SQLAlc"),
        (
            "video {video} --alert no_mask --mqtt mqtt://host",
            "paho.mqtt.client",
            "maskdet video --mqtt needs paho-mqtt",
        ),
        ("detect {image} --analyzer yunet", "onnxruntime", "the detector yunet needs"),
        ("detect {image} --analyzer mtcnn", "mtcnn", "the detector mtcnn needs"),
        (
            "label faces --detector mtcnn --out a",
            "joblib",
            "the detector mtcnn needs",
        ),
        ("events postgresql://h/n", "psycopg", "a PostgreSQL database needs psycopg"),
    ],
)
def test_a_command_that_lacks_one_says_which_and_stops(
    words: str, library: str, says: str, hide: Hide, capsys, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces" / "mask").mkdir(parents=True)
    (tmp_path / "faces" / "mask" / "a.jpg").write_bytes(
        (SAMPLES / "portrait-mask.jpg").read_bytes()
    )
    hide(library)
    paths = {"video": SAMPLES / "video.mp4", "image": SAMPLES / "group.jpg"}
    assert main([word.format(**paths) for word in words.split()]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(says if says.startswith("maskdet ") else f"maskdet: {says}")
    assert line.endswith(f": pip install 'maskdet[{LIBRARIES[library].extra}]'")
    assert said.out == ""


def test_an_unknown_driver_of_a_database_is_no_extra_of_ours(hide: Hide) -> None:
    hide("psycopg2")
    with pytest.raises(StoreError, match=r"driver of postgresql .* missing: psyc"):
        EventStore("postgresql+psycopg2://host/name")


@pytest.mark.parametrize(
    ("name", "library"), [("yunet", "onnxruntime"), ("mtcnn", "lz4")]
)
def test_the_dashboard_does_not_offer_what_cannot_run(
    name: str, library: str, hide: Hide, monkeypatch
) -> None:
    monkeypatch.setattr(session, "model_path", lambda name: SAMPLES)
    assert session.list_unavailable_analyzers() == {}
    hide(library)
    with pytest.raises(MissingExtraError) as caught:
        load_detector(name)
    assert session.list_unavailable_analyzers() == {name: str(caught.value)}
