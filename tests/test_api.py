"""The public calls: what they accept, what they refuse, and that programs run."""

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
def fake() -> maskdet.TwoStage:
    return maskdet.TwoStage(FakeDetector(BOXES, (0.9, 0.8)), FakeClassifier())


@pytest.fixture
def scene() -> maskdet.Scene:
    return maskdet.Scene(
        maskdet.Faces([[0, 0, 40, 50], [50, 10, 90, 40]], [0.9, 0.8]),
        [[0.9, 0.1, 0.0], [0.3, 0.4, 0.3]],
        min_confidence=0.6,
    )


def test_an_image_is_a_path_its_bytes_or_an_array(fake, tmp_path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(make_grey_image()))
    scenes = [
        maskdet.analyze(source, analyzer=fake)
        for source in (
            path,
            str(path),
            path.read_bytes(),
            make_grey_image(),
            make_grey_image()[:, :, 0],
        )
    ]
    assert len(scenes[0])
    assert len({one.to_json() for one in scenes}) == 1


def test_a_very_large_jpeg_has_boxes_in_its_own_pixels(tmp_path) -> None:
    path = tmp_path / "phone.jpg"
    Pillow.new("L", (12000, 9000), 128).save(path)
    fake = maskdet.TwoStage(FakeDetector(BOXES, (0.9, 0.8)), FakeClassifier())
    scene = maskdet.analyze(path, maskdet.Settings(min_face_px=48), analyzer=fake)
    # Half of its width and height was analyzed; 48 of its pixels are 24 of those.
    assert scene.boxes.tolist() == [[20, 20, 80, 80]]
    drawn = maskdet.draw(path, scene)
    assert drawn.shape == (4500, 6000, 3)
    changed = np.abs(drawn.astype(int) - 128).max(axis=2) > 20
    assert changed[8:42, 8:12].any()
    assert not changed[1000:].any()


@pytest.mark.parametrize(
    ("image", "error", "line"),
    [
        (np.zeros((4, 4, 3)), TypeError, r"uint8 numbers from 0 to 255, not float64"),
        (np.zeros((4, 4, 3), np.uint16), TypeError, "not uint16"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, r"\(4, 4, 4\); drop alpha with"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"empty: its shape is \(0, 4, 3\)"),
        (np.zeros(4, np.uint8), ValueError, r"\(h, w, 3\) or \(h, w\), not \(4,\)"),
        ([[1, 2]], TypeError, "not list; read a file with maskdet.read_image"),
        (None, TypeError, "not NoneType"),
    ],
)
def test_every_door_refuses_what_is_no_image_in_one_line(
    fake, scene, tmp_path, image, error, line
) -> None:
    doors = (
        lambda: maskdet.analyze(image, analyzer=fake),
        lambda: fake.analyze(image),
        lambda: maskdet.Stream(fake).step(image, 0.0),
        lambda: maskdet.draw(image, scene),
        lambda: maskdet.write_image(tmp_path / "a.png", image),
        lambda: maskdet.load_analyzer("onepass-fast").analyze(image),
        lambda: maskdet.load_detector("haar").detect(image),
        lambda: maskdet.load_classifier().predict(image, scene.boxes),
    )
    for door in doors:
        with pytest.raises(error, match=line) as caught:
            door()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_path_where_an_array_is_wanted_says_how_to_read_it(fake) -> None:
    with pytest.raises(TypeError, match=r"not str; read a file with maskdet\.read_im"):
        fake.analyze("a.jpg")


def test_default_settings_find_the_sample_and_permissive_gives_candidates() -> None:
    usual = maskdet.analyze(GROUP)
    every = maskdet.analyze(GROUP, maskdet.Settings.permissive())
    assert len(usual) == 7
    assert usual.min_confidence == maskdet.Settings().min_confidence
    assert len(every) > 20
    chosen = every.filter(maskdet.Settings())
    assert chosen.boxes.tolist() == usual.boxes.tolist()


def test_a_named_analyzer_is_loaded_once(monkeypatch, fake) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(
        api, "load_analyzer", lambda *names: loaded.append(names[0]) or fake
    )
    api._load_cached.cache_clear()
    try:
        for _ in range(3):
            maskdet.analyze(make_grey_image(), analyzer="haar")
            maskdet.analyze(make_grey_image())
    finally:
        api._load_cached.cache_clear()
    assert loaded == ["haar", "onepass"]


def test_a_detector_in_place_of_an_analyzer_says_how_to_wrap_it() -> None:
    with pytest.raises(TypeError, match=r"wrap a detector in maskdet\.TwoStage"):
        maskdet.analyze(make_grey_image(), analyzer=FakeDetector())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"detect\(image\) -> Faces, which object"):
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


def test_the_text_of_a_scene_is_one_short_line(scene) -> None:
    assert repr(scene) == "<Scene: 2 faces (1 mask, 1 unknown)>"
    assert repr(maskdet.Scene.empty()) == "<Scene: 0 faces>"


def test_a_scene_goes_to_json_pandas_and_coco(scene) -> None:
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


def test_supervision_gets_arrays_in_its_words(scene, monkeypatch) -> None:
    """The library itself is not a requirement; its constructor takes these words."""
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
def test_a_library_that_is_missing_is_named(scene, monkeypatch, name) -> None:
    library = {"to_dataframe": "pandas", "to_supervision": "supervision"}[name]
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=f"this needs {library}: pip install"):
        getattr(scene, name)()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".JPEG", ".webp"])
def test_images_are_written_by_their_ending(tmp_path, ending) -> None:
    path = tmp_path / f"a{ending}"
    maskdet.write_image(path, make_grey_image())
    assert maskdet.read_image(path).shape == make_grey_image().shape


def test_an_unknown_ending_writes_nothing(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"must be \.png, \.jpg, \.jpeg, \.webp, not"):
        maskdet.write_image(tmp_path / "a.tiff", make_grey_image())
    assert not list(tmp_path.iterdir())


def test_a_video_gives_a_report_and_a_copy(fake, tmp_path) -> None:
    heard: list[int] = []
    report = maskdet.analyze_video(
        write_video(tmp_path / "a.mp4"),
        tmp_path / "b.mp4",
        analyzer=fake,
        progress=lambda now: heard.append(now.n_frames),
    )
    assert (report.n_frames, report.is_complete, report.error) == (N_FRAMES, True, "")
    assert report.out == tmp_path / "b.mp4"
    assert heard[0] == 1
    with maskdet.open_video(report.out) as frames:
        assert sum(1 for _ in frames) == N_FRAMES


def test_the_bar_of_a_video_goes_to_stderr(fake, tmp_path, capsys) -> None:
    maskdet.analyze_video(write_video(tmp_path / "a.mp4"), analyzer=fake, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "a.mp4" in err


def test_a_stream_gives_frames_and_tracked_scenes(fake, tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4")
    every = [
        (image.shape, scene) for image, scene in maskdet.stream(path, analyzer=fake)
    ]
    assert len(every) == N_FRAMES
    assert every[-1][1].time_s > every[0][1].time_s
    assert (every[-1][1].track_ids != maskdet.UNTRACKED).any()
    few = list(maskdet.stream(str(path), analyzer=fake, every=2))
    assert len(few) == (N_FRAMES + 1) // 2


def test_a_video_that_is_not_there_is_said_at_once(fake, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        next(maskdet.stream(tmp_path / "a.mp4", analyzer=fake))
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        maskdet.analyze_video(tmp_path / "a.mp4", analyzer=fake)


def coco(folder: Path) -> Path:
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


def test_a_data_set_is_measured_with_intervals(fake, tmp_path) -> None:
    report = maskdet.evaluate(coco(tmp_path), analyzer=fake)
    assert report.images == 1
    assert report.ap["faces"].value == pytest.approx(1.0)
    lines = str(report).splitlines()
    assert lines[0] == "1 image, IoU 0.5"
    assert lines[1].startswith("AP faces")
    assert lines[1].endswith("n=2")


def test_images_without_boxes_cannot_be_evaluated(fake, tmp_path) -> None:
    (tmp_path / "mask").mkdir()
    shutil.copy(GROUP, tmp_path / "mask")
    (tmp_path / "no_mask").mkdir()
    with pytest.raises(ValueError, match="needs images with boxes") as caught:
        maskdet.evaluate(tmp_path, analyzer=fake)
    assert str(tmp_path) in str(caught.value)


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples of docstrings name."""
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


def documented() -> list[str]:
    """The public names that are classes or functions."""
    objects = {name: getattr(maskdet, name) for name in maskdet.__all__}
    return [
        name
        for name, value in objects.items()
        if inspect.isfunction(value) or inspect.isclass(value)
    ]


@pytest.mark.parametrize("name", documented())
def test_the_examples_of_every_public_name_are_true(name, samples) -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = finder.find(getattr(maskdet, name), name, globs={"maskdet": maskdet})
    assert sum(len(test.examples) for test in tests), f"{name} has no example"
    printed: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    for test in tests:
        runner.run(test, out=printed.append)
    assert runner.failures == 0, "".join(printed)


def test_the_public_names_are_few_and_complete() -> None:
    assert 30 <= len(maskdet.__all__) <= 41
    assert len(documented()) > 30
    assert maskdet.__doc__ is not None
    compile("".join(code_of(maskdet.__doc__)), "maskdet.__doc__", "exec")


def code_of(text: str) -> list[str]:
    """The indented lines of a docstring, without their indent."""
    lines = [line for line in text.splitlines(keepends=True) if line.startswith("    ")]
    return [line[4:] for line in lines]


def example(name: str, *arguments: str | Path) -> str:
    """Run one of the programs of the documentation; return what it prints."""
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


def test_program_analyze_image(tmp_path) -> None:
    printed = example("analyze_image", GROUP, tmp_path / "out.png")
    assert "of 7 without a mask" in printed
    assert maskdet.read_image(tmp_path / "out.png").shape[2] == 3


def test_program_analyze_video(tmp_path) -> None:
    source = ROOT / "samples" / "video.mp4"
    printed = example("analyze_video", source, tmp_path / "out.mp4")
    assert "mask rate:" in printed
    assert "#1: " in printed
    assert (tmp_path / "out.mp4").stat().st_size > 10_000


def test_program_stream() -> None:
    assert "#1: " in example("stream", ROOT / "samples" / "video.mp4")


def test_program_evaluate(tmp_path) -> None:
    assert "faces: AP " in example("evaluate", coco(tmp_path))


def test_program_custom_detector() -> None:
    assert "Mask" in example("custom_detector", GROUP)


def test_every_program_of_the_documentation_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    names = [path.stem for path in EXAMPLES.glob("*.py")]
    assert len(names) == 5
    assert [name for name in names if f'example("{name}"' not in text] == []
