"""`maskdet benchmark`: pipelines, output and exit status."""

from __future__ import annotations

import json

import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.cli import benchmark, main
from tests.helpers.fakes import FakeClassifier, FakeDetector

BOXES = [[5, 5, 45, 55], [60, 10, 90, 50]]


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    """Replace all models; `ssd`'s file and TensorFlow are missing."""

    def load(name):
        if name == "ssd":
            raise FileNotFoundError("ssd is missing; fetch it")
        return TwoStage(FakeDetector(BOXES, [0.9, 0.8]), FakeClassifier())

    def no_tensorflow():
        raise ImportError("No module named 'keras'")

    detector = FakeDetector(BOXES, [0.9, 0.8])
    monkeypatch.setattr(benchmark, "load_analyzer", load)
    monkeypatch.setattr(benchmark, "load_detector", lambda name: detector)
    monkeypatch.setattr(benchmark, "_load_tutorial_pipelines", no_tensorflow)


def test_available_pipelines_are_timed_and_the_others_named(capsys):
    assert main(["benchmark", "--rounds", "3"]) == 0
    output = capsys.readouterr()
    head, _, *rows = output.out.splitlines()
    assert head.startswith("640 x 480, 4 faces, 3 rounds")
    names = [row.split()[0] for row in rows]
    assert {"mtcnn", "haar", "yunet", "aizoo", "yunet-alone"} <= set(names)
    assert "ssd" not in names
    assert rows[0].split()[4] == "1.00"
    assert "maskdet: ssd: left out: ssd is missing; fetch it" in output.err
    assert "maskdet: tutorial: left out: No module named 'keras'" in output.err


def test_json_on_stdout_is_nothing_else(capsys, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    words = ["benchmark", "haar", "aizoo", "yunet-alone", "--rounds", "2"]
    assert main([*words, "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["ratio_to"] == "haar"
    assert content["cores"] == 3
    times = content["times"]
    assert list(times) == ["haar", "aizoo", "yunet-alone"]
    assert list(times["haar"]["stages_ms"]) == ["detect", "classify", "draw"]
    assert list(times["aizoo"]["stages_ms"]) == ["detect", "classify"]
    assert list(times["yunet-alone"]["stages_ms"]) == ["detect"]
    assert times["haar"]["ratio"] == 1
    assert {timing["faces"] for timing in times.values()} == {2}


def test_the_fast_single_stage_network_comes_first(monkeypatch):
    names = {"haar": "", "onepass": "", "onepass-fast": "", "aizoo": ""}
    monkeypatch.setattr(benchmark, "ANALYZERS", names)
    order = ["onepass-fast", "haar", "onepass", "aizoo", "yunet-alone", "tutorial"]
    assert benchmark._list_names() == order


def test_the_frame_has_four_different_quarters():
    image = benchmark.make_benchmark_frame()
    assert image.shape == (480, 640, 3)
    quarters = [image[y : y + 240, x : x + 320] for y in (0, 240) for x in (0, 320)]
    for i, one in enumerate(quarters):
        assert all((one != other).any() for other in quarters[i + 1 :])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["best"], "name must be one of"),
        (["ssd"], "none of the pipelines can be loaded"),
    ],
)
def test_an_invalid_name_is_reported(words, message, capsys):
    assert main(["benchmark", *words]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("rounds", ["0", "-1", "x"])
def test_an_invalid_number_of_rounds_is_a_usage_error(rounds, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["benchmark", f"--rounds={rounds}"])
    assert stopped.value.code == 2
    assert "whole number of at least 1" in capsys.readouterr().err
