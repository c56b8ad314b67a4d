"""Tests of the public API: accepted and rejected inputs, and the examples in docs."""

from __future__ import annotations

import doctest
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import maskdet
from maskdet import api
from maskdet.media import encode_png
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.media.video_files import N_FRAMES, write_video

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "docs" / "examples"
GROUP = ROOT / "samples" / "group.jpg"


BOXES = ((10, 10, 40, 40), (42, 12, 62, 36))


@pytest.fixture
def fake_analyzer() -> maskdet.TwoStage:
    return maskdet.TwoStage(FakeDetector(BOXES, (0.9, 0.8)), FakeClassifier())


@pytest.fixture
def scene() -> maskdet.Scene:
    return maskdet.Scene(
        maskdet.Faces([[0, 0, 40, 50], [50, 10, 90, 40]], [0.9, 0.8]),
        [[0.9, 0.1, 0.0], [0.3, 0.4, 0.3]],
        min_confidence=0.6,
    )


def test_analyze_accepts_a_path_bytes_or_an_array(fake_analyzer, tmp_path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(make_grey_image()))
    scenes = [
        maskdet.analyze(source, analyzer=fake_analyzer)
        for source in (
            path,
            str(path),
            path.read_bytes(),
            make_grey_image(),
            make_grey_image()[:, :, 0],
        )
    ]
    assert len(scenes[0])
    assert len({scene.to_json() for scene in scenes}) == 1


def test_boxes_of_a_very_large_jpeg_are_in_pixels_of_the_original(tmp_path) -> None:
    path = tmp_path / "phone.jpg"
    Pillow.new("L", (12000, 9000), 128).save(path)
    fake_analyzer = maskdet.TwoStage(FakeDetector(BOXES, (0.9, 0.8)), FakeClassifier())
    scene = maskdet.analyze(
        path, maskdet.Settings(min_face_px=48), analyzer=fake_analyzer
    )
    # It is analyzed at half its width and height, where 48 pixels become 24.
    assert scene.boxes.tolist() == [[20, 20, 80, 80]]
    drawn = maskdet.draw(path, scene)
    assert drawn.shape == (4500, 6000, 3)
    changed = np.abs(drawn.astype(int) - 128).max(axis=2) > 20
    assert changed[8:42, 8:12].any()
    assert not changed[1000:].any()


@pytest.mark.parametrize(
    ("image", "error", "line"),
    [
        (np.zeros((4, 4, 3)), TypeError, "dtype uint8, not float64"),
        (np.zeros((4, 4, 3), np.uint16), TypeError, "not uint16"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, r"\(4, 4, 4\); drop alpha with"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"empty: its shape is \(0, 4, 3\)"),
        (np.zeros(4, np.uint8), ValueError, r"\(h, w, 3\) or \(h, w\), not \(4,\)"),
        ([[1, 2]], TypeError, "not list; read a file with maskdet.read_image"),
        (None, TypeError, "not NoneType"),
    ],
)
def test_all_functions_reject_invalid_images_with_one_line(
    fake_analyzer, scene, tmp_path, image, error, line
) -> None:
    calls = (
        lambda: maskdet.analyze(image, analyzer=fake_analyzer),
        lambda: fake_analyzer.analyze(image),
        lambda: maskdet.Stream(fake_analyzer).step(image, 0.0),
        lambda: maskdet.draw(image, scene),
        lambda: maskdet.write_image(tmp_path / "a.png", image),
        lambda: maskdet.load_analyzer("onepass-fast").analyze(image),
        lambda: maskdet.load_detector("haar").detect(image),
        lambda: maskdet.load_classifier().predict(image, scene.boxes),
    )
    for call in calls:
        with pytest.raises(error, match=line) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_path_instead_of_an_array_gives_a_hint(fake_analyzer) -> None:
    with pytest.raises(TypeError, match=r"not str; read a file with maskdet\.read_im"):
        fake_analyzer.analyze("a.jpg")


def test_permissive_settings_return_more_candidates_than_default_settings() -> None:
    default_scene = maskdet.analyze(GROUP)
    permissive_scene = maskdet.analyze(GROUP, maskdet.Settings.permissive())
    assert len(default_scene) == 7
    assert default_scene.min_confidence == maskdet.Settings().min_confidence
    assert len(permissive_scene) > 20
    filtered = permissive_scene.filter(maskdet.Settings())
    assert filtered.boxes.tolist() == default_scene.boxes.tolist()


def test_a_named_analyzer_is_loaded_once(monkeypatch, fake_analyzer) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(
        api, "load_analyzer", lambda *names: loaded.append(names[0]) or fake_analyzer
    )
    api._load_cached.cache_clear()
    try:
        for _ in range(3):
            maskdet.analyze(make_grey_image(), analyzer="haar")
            maskdet.analyze(make_grey_image())
    finally:
        api._load_cached.cache_clear()
    assert loaded == ["haar", "onepass"]


def test_a_detector_instead_of_an_analyzer_gives_a_hint() -> None:
    with pytest.raises(TypeError, match=r"wrap a detector in maskdet\.TwoStage"):
        maskdet.analyze(make_grey_image(), analyzer=FakeDetector())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"detect\(image\) -> Faces; object"):
        maskdet.TwoStage(object())  # type: ignore[arg-type]


def test_iteration_and_indexing_keep_rows_together(scene) -> None:
    first, second = scene
    assert (first.label, second.label) == (maskdet.Label.MASK, maskdet.Label.UNKNOWN)
    assert first.confidence == pytest.approx(0.9)
    assert scene[0] == first
    assert scene[-1] == second
    assert scene[[1]][0] == second
    assert scene[scene.confidences < 0.6][0] == second
    assert [face.score for face in scene[::-1]] == pytest.approx([0.9, 0.8])
    with pytest.raises(IndexError):
        scene[2]


def test_repr_of_a_scene_is_one_line(scene) -> None:
    assert repr(scene) == "<Scene: 2 faces (1 mask, 1 unknown)>"
    assert repr(maskdet.Scene.empty()) == "<Scene: 0 faces>"


def test_a_scene_converts_to_json_pandas_and_coco(scene) -> None:
    content = json.loads(scene.to_json())
    assert content["faces"][0] == {
        "box": [0.0, 0.0, 40.0, 50.0],
        "score": 0.9,
        "label": "mask",
        "probs": {"mask": 0.9, "no_mask": 0.1, "incorrect": 0.0},
    }
    frame = scene.to_dataframe()
    assert frame["label"].tolist() == ["mask", "unknown"]
    assert frame[["x1", "y2"]].to_numpy().tolist() == [[0, 50], [50, 40]]
    assert scene.to_coco(7) == [
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 40, 50], "score": 0.9},
        {"image_id": 7, "category_id": 2, "bbox": [50, 10, 40, 30], "score": 0.8},
    ]
    assert (
        maskdet.Scene.empty().to_coco(),
        len(maskdet.Scene.empty().to_dataframe()),
    ) == (
        [],
        0,
    )


def test_to_supervision_passes_the_expected_arguments(scene, monkeypatch) -> None:
    """The library is not a requirement, so its constructor is replaced."""
    given: dict[str, object] = {}

    class Supervision:
        @staticmethod
        def Detections(**arguments: object) -> str:  # noqa: N802
            given.update(arguments)
            return "detections"

    monkeypatch.setitem(sys.modules, "supervision", Supervision)
    assert scene.to_supervision() == "detections"
    assert given["xyxy"].tolist() == scene.boxes.tolist()
    assert given["class_id"].tolist() == [0, -1]
    assert given["tracker_id"] is None
    assert given["data"]["class_name"].tolist() == ["mask", "unknown"]


@pytest.mark.parametrize("name", ["to_dataframe", "to_supervision"])
def test_a_missing_library_is_named(scene, monkeypatch, name) -> None:
    library = {"to_dataframe": "pandas", "to_supervision": "supervision"}[name]
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=f"this needs {library}: pip install"):
        getattr(scene, name)()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".JPEG", ".webp"])
def test_images_are_written_in_the_format_of_their_extension(tmp_path, ending) -> None:
    path = tmp_path / f"a{ending}"
    maskdet.write_image(path, make_grey_image())
    assert maskdet.read_image(path).shape == make_grey_image().shape


def test_an_unknown_extension_writes_nothing(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"must be \.png, \.jpg, \.jpeg, \.webp, not"):
        maskdet.write_image(tmp_path / "a.tiff", make_grey_image())
    assert not list(tmp_path.iterdir())


def test_a_video_gives_a_report_and_a_copy(fake_analyzer, tmp_path) -> None:
    progress_counts: list[int] = []
    report = maskdet.analyze_video(
        write_video(tmp_path / "a.mp4"),
        tmp_path / "b.mp4",
        analyzer=fake_analyzer,
        progress=lambda progress: progress_counts.append(progress.n_frames),
    )
    assert (report.n_frames, report.is_complete, report.error) == (N_FRAMES, True, "")
    assert report.out == tmp_path / "b.mp4"
    assert progress_counts[0] == 1
    with maskdet.open_video(report.out) as frames:
        assert sum(1 for _ in frames) == N_FRAMES


def test_the_progress_bar_of_a_video_goes_to_stderr(
    fake_analyzer, tmp_path, capsys
) -> None:
    maskdet.analyze_video(
        write_video(tmp_path / "a.mp4"), analyzer=fake_analyzer, progress=True
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert "a.mp4" in err


def test_a_stream_gives_frames_and_tracked_scenes(fake_analyzer, tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4")
    scenes = [scene for _, scene in maskdet.stream(path, analyzer=fake_analyzer)]
    assert len(scenes) == N_FRAMES
    assert scenes[-1].time_s > scenes[0].time_s
    assert (scenes[-1].track_ids != maskdet.UNTRACKED).any()
    every_second = list(maskdet.stream(str(path), analyzer=fake_analyzer, every=2))
    assert len(every_second) == (N_FRAMES + 1) // 2


def test_a_missing_video_raises_an_error(fake_analyzer, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        next(maskdet.stream(tmp_path / "a.mp4", analyzer=fake_analyzer))
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        maskdet.analyze_video(tmp_path / "a.mp4", analyzer=fake_analyzer)


def write_coco_dataset(folder: Path) -> Path:
    """Write a data set of one image with the two large faces of the fake detector."""
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(encode_png(make_grey_image()))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "mask"}],
        "annotations": [
            {
                "id": number,
                "image_id": 1,
                "category_id": 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            for number, (x1, y1, x2, y2) in enumerate(BOXES, start=1)
        ],
    }
    path = folder / "scenes.json"
    path.write_text(json.dumps(content))
    return path


def test_evaluate_reports_intervals(fake_analyzer, tmp_path) -> None:
    report = maskdet.evaluate(write_coco_dataset(tmp_path), analyzer=fake_analyzer)
    assert report.images == 1
    assert report.ap["faces"].value == pytest.approx(1.0)
    lines = str(report).splitlines()
    assert lines[0] == "1 image, IoU 0.5"
    assert lines[1].startswith("AP faces")
    assert lines[1].endswith("n=2")


def test_images_without_boxes_cannot_be_evaluated(fake_analyzer, tmp_path) -> None:
    (tmp_path / "mask").mkdir()
    shutil.copy(GROUP, tmp_path / "mask")
    (tmp_path / "no_mask").mkdir()
    with pytest.raises(ValueError, match="needs images with boxes") as caught:
        maskdet.evaluate(tmp_path, analyzer=fake_analyzer)
    assert str(tmp_path) in str(caught.value)


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files that the docstring examples use."""
    shutil.copy(GROUP, tmp_path / "group.jpg")
    shutil.copy(ROOT / "samples" / "video.mp4", tmp_path / "lobby.mp4")
    (tmp_path / "notes.txt").write_text("not a video")
    (tmp_path / "images").mkdir()
    shutil.copy(GROUP, tmp_path / "images")
    scene = maskdet.analyze(GROUP)
    height, width = maskdet.read_image(GROUP).shape[:2]
    image = {"id": 1, "file_name": GROUP.name, "width": width, "height": height}
    rows = [{"id": n, **row} for n, row in enumerate(scene.to_coco(1))]
    names = [label.key for label in maskdet.CLASSES]
    kinds = [{"id": n, "name": name} for n, name in enumerate(names, start=1)]
    content = {"images": [image], "categories": kinds, "annotations": rows}
    (tmp_path / "scenes.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def list_documented_names() -> list[str]:
    """Return the public names that are classes or functions."""
    objects = {name: getattr(maskdet, name) for name in maskdet.__all__}
    return [
        name
        for name, value in objects.items()
        if inspect.isfunction(value) or inspect.isclass(value)
    ]


@pytest.mark.parametrize("name", list_documented_names())
def test_the_examples_of_every_public_name_pass(name, samples) -> None:
    doctest_parser = doctest.DocTestFinder(exclude_empty=True)
    tests = doctest_parser.find(
        getattr(maskdet, name), name, globs={"maskdet": maskdet}
    )
    assert sum(len(test.examples) for test in tests), f"{name} has no example"
    printed: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    for test in tests:
        runner.run(test, out=printed.append)
    assert runner.failures == 0, "".join(printed)


def test_the_public_names_are_few_and_complete() -> None:
    assert 30 <= len(maskdet.__all__) <= 42
    assert len(list_documented_names()) > 30
    assert maskdet.__doc__ is not None
    compile("".join(extract_code(maskdet.__doc__)), "maskdet.__doc__", "exec")


def extract_code(text: str) -> list[str]:
    """Return the indented lines of a docstring, without their indent."""
    lines = [line for line in text.splitlines(keepends=True) if line.startswith("    ")]
    return [line[4:] for line in lines]


def run_example(name: str, *arguments: str | Path) -> str:
    """Run an example program of the documentation and return its output."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_example_analyze_image(tmp_path) -> None:
    printed = run_example("analyze_image", GROUP, tmp_path / "out.png")
    assert "of 7 without a mask" in printed
    assert maskdet.read_image(tmp_path / "out.png").shape[2] == 3


def test_example_analyze_video(tmp_path) -> None:
    source = ROOT / "samples" / "video.mp4"
    printed = run_example("analyze_video", source, tmp_path / "out.mp4")
    assert "mask rate:" in printed
    assert "#1: " in printed
    assert (tmp_path / "out.mp4").stat().st_size > 10_000


def test_example_stream() -> None:
    assert "#1: " in run_example("stream", ROOT / "samples" / "video.mp4")


def test_example_evaluate(tmp_path) -> None:
    assert "faces: AP " in run_example("evaluate", write_coco_dataset(tmp_path))


def test_example_custom_detector() -> None:
    assert "Mask" in run_example("custom_detector", GROUP)


def test_every_example_of_the_documentation_has_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    names = [path.stem for path in EXAMPLES.glob("*.py")]
    names.remove("http_client")  # tests/http_api/test_videos.py runs it
    assert len(names) == 5
    assert [name for name in names if f'run_example("{name}"' not in text] == []
