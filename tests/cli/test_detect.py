from __future__ import annotations

import csv
import errno
import io
import json
import os

import numpy as np
import pytest
from PIL import Image as Pillow

from maskdet.analyzers.pipelines import ANALYZERS, TwoStage
from maskdet.atomic_file import AtomicFile
from maskdet.cli import detect, main
from maskdet.media import IMAGE_FORMATS, encode_jpeg, encode_png, read_image
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.style import Style
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.media.image_files import (
    make_broken_files,
    make_corners_image,
    mean_difference,
)

BOXES = [[5, 5, 45, 55], [60, 10, 90, 50], [2, 60, 22, 80]]
SCORES = [0.9, 0.7, 0.3]


@pytest.fixture(autouse=True)
def loaded_names(monkeypatch):
    """Replace the models; return the names that were loaded."""
    names = []

    def load(name, classifier, *, refine):
        names.append(name if refine else f"{name}, once")
        if name == "missing":
            raise FileNotFoundError("say: maskdet models fetch missing")
        if name == "changed":
            raise RuntimeError("changed.tflite: its sha256 is not the published one")
        return TwoStage(FakeDetector(BOXES, SCORES), FakeClassifier((0.7, 0.2, 0.1)))

    monkeypatch.setattr(detect, "load_analyzer", load)
    return names


@pytest.fixture
def image_folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encode_jpeg(make_grey_image(100, 90)))
    (folder / "b.png").write_bytes(encode_png(make_grey_image(120, 80)))
    return folder


def run(*words):
    return main(["detect", *map(str, words)])


def test_json_on_stdout_is_nothing_but_the_documented_json(image_folder, capsys):
    assert run(image_folder / "a.jpg", "--json", "-") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    content = json.loads(shown.out)
    assert content == {
        "version": 1,
        "left_out": [],
        "images": [
            {
                "path": str(image_folder / "a.jpg"),
                "width": 100,
                "height": 90,
                "error": None,
                "faces": [
                    {
                        "box": box,
                        "score": score,
                        "label": "mask",
                        "probs": {"mask": 0.7, "no_mask": 0.2, "incorrect": 0.1},
                    }
                    for box, score in zip(BOXES[:2], SCORES[:2], strict=True)
                ],
            }
        ],
    }


def test_there_is_a_line_per_image_and_per_face(image_folder, capsys):
    assert run(image_folder, "--min-score", 0.8) == 0
    lines = capsys.readouterr().out.splitlines()
    words = " ".join(lines[1].split())
    assert words == "Mask 70 % 40 x 50 px at 5, 5 score 0.90"
    titles = [f"{image_folder / name}: 1 face" for name in ("a.jpg", "b.png")]
    assert [lines[0], lines[2], len(lines)] == [*titles, 4]


def test_the_options_reach_the_result(image_folder, capsys):
    options = [
        "--min-score=0.1",
        "--min-face-px=25",
        "--min-confidence=0.8",
        "--json=-",
    ]
    assert run(image_folder / "a.jpg", *options) == 0
    faces = json.loads(capsys.readouterr().out)["images"][0]["faces"]
    assert [face["label"] for face in faces] == ["unknown", "unknown"]


def test_images_can_be_rotated_first(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(encode_png(make_corners_image(100, 90)))
    out = tmp_path / "out"
    options = ("--rotate", 90, "--json", "-", "--out", out)
    assert run(tmp_path / "a.png", *options) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert (image["width"], image["height"]) == (90, 100)
    turned = np.rot90(make_corners_image(100, 90), -1)
    assert mean_difference(read_image(out / "a.png")[90:], turned[90:]) < 1
    with pytest.raises(SystemExit):
        run(tmp_path / "a.png", "--rotate", 45)


def test_an_image_without_faces_is_reported(image_folder, capsys):
    assert run(image_folder / "a.jpg", "--min-score", 1) == 0
    assert "a.jpg: no face detected" in capsys.readouterr().out


def test_settings_and_analyzer_from_a_file(
    image_folder, tmp_path, capsys, loaded_names
):
    saved = tmp_path / "tuned.json"
    saved.write_text(Preferences("haar", Settings(min_score=0.2), Style()).to_json())
    for options, faces in ([], 3), (["--min-score", 0.6, "--analyzer", "ssd"], 2):
        assert (
            run(image_folder / "a.jpg", "--settings", saved, "--json=-", *options) == 0
        )
        (image,) = json.loads(capsys.readouterr().out)["images"]
        assert len(image["faces"]) == faces
    assert loaded_names == ["haar", "ssd"]


def test_json_and_csv_files_say_that_they_were_written(image_folder, tmp_path, capsys):
    targets = tmp_path / "r.json", tmp_path / "r.csv"
    assert run(image_folder, "--json", targets[0], "--csv", targets[1]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [f"wrote {target}" for target in targets]
    assert "Mask 70 %" in shown.out
    paths = [image["path"] for image in json.loads(targets[0].read_text())["images"]]
    assert paths == [str(image_folder / "a.jpg"), str(image_folder / "b.png")]
    rows = list(csv.DictReader(io.StringIO(targets[1].read_text())))
    assert [row["path"] for row in rows] == [paths[0]] * 2 + [paths[1]] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "images",
        "r.csv",
        "r.json",
    ]


def test_annotated_copies_are_drawn_and_counted(image_folder, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    assert run(image_folder, "--out", out) == 0
    assert f"wrote 2 annotated images to {out}" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "b.png"]
    copy = read_image(out / "b.png")
    assert copy.shape == (80, 120, 3)
    changed = np.abs(copy.astype(int) - 128).max(axis=2) > 0
    assert changed[:70].any()
    assert not changed[:, 110:].any()


def test_images_of_the_same_name_do_not_overwrite_each_other(image_folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "A.JFIF").write_bytes(encode_jpeg(make_grey_image(50, 50)))
    (other / "a.webp").write_bytes(encode_png(make_grey_image(60, 60)))
    (other / "a.png").write_bytes(encode_png(make_grey_image(70, 70)))
    out = tmp_path / "out"
    assert run(image_folder / "a.jpg", other, "--out", out) == 0
    widths = {path.name: read_image(path).shape[1] for path in out.iterdir()}
    assert widths == {"a.jpg": 100, "A-2.jpg": 50, "a.png": 70, "a-2.png": 60}


def test_an_input_is_never_overwritten(image_folder, capsys):
    before = {path.name: path.read_bytes() for path in image_folder.iterdir()}
    assert run(image_folder, "--out", image_folder) == 0
    for name, content in before.items():
        assert (image_folder / name).read_bytes() == content
    assert (image_folder / "a-2.jpg").is_file()
    for option in "--json", "--csv":
        assert run(image_folder, option, image_folder / "a.jpg") == 1
        assert "would overwrite an input file" in capsys.readouterr().err
    assert (image_folder / "a.jpg").read_bytes() == before["a.jpg"]


def test_an_input_behind_a_link_is_never_overwritten(image_folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    before = (image_folder / "a.jpg").read_bytes()
    (out / "a.jpg").symlink_to(image_folder / "a.jpg")
    assert run(image_folder / "a.jpg", "--out", out) == 0
    assert (image_folder / "a.jpg").read_bytes() == before
    assert (out / "a-2.jpg").is_file()


@pytest.mark.parametrize("option", ["--blur", "--settings"])
def test_faces_below_the_threshold_are_blurred_too(tmp_path, option):
    noise = np.random.default_rng(0).integers(0, 256, (90, 100, 3)).astype(np.uint8)
    image, saved = tmp_path / "a.png", tmp_path / "saved.json"
    image.write_bytes(encode_png(noise))
    saved.write_text(Preferences(style=Style(blur=True)).to_json())
    words = (
        ["--blur"] if option == "--blur" else ["--settings", saved, "--analyzer=haar"]
    )
    assert run(image, "--out", tmp_path / "out", *words) == 0
    hidden = read_image(tmp_path / "out" / "a.png")
    # Box 2 has the score 0.3, so no outline; a caption of box 0 is on its top.
    part = slice(73, 80), slice(2, 22)
    assert len(np.unique(hidden[part].reshape(-1, 3), axis=0)) <= 36
    assert run(image, "--out", tmp_path / "plain") == 0
    plain = read_image(tmp_path / "plain" / "a.png")
    assert np.array_equal(plain[part], noise[part])


def test_every_invalid_file_has_its_line_and_the_others_are_analyzed(
    image_folder, capsys
):
    wanted = {"nowhere.jpg": "no such file"}
    for name, (content, line) in make_broken_files().items():
        (image_folder / name).write_bytes(content)
        wanted[name] = line
    bad = [image_folder / name for name in wanted]
    status = run(*bad, image_folder / "b.png", "--json", "-")
    shown = capsys.readouterr()
    assert status == 1
    *images, last = json.loads(shown.out)["images"]
    lines = shown.err.splitlines()
    for path, line, image in zip(bad, lines, images, strict=True):
        assert line == f"maskdet: {path}: {image['error']}"
        assert wanted[path.name] in image["error"]
        assert image["faces"] == []
        assert image["width"] is None
    assert last["error"] is None
    assert len(last["faces"]) == 2


def test_unusual_images_are_read(image_folder, capsys):
    (image_folder / "tiny.png").write_bytes(encode_png(make_grey_image(1, 1)))
    wrong_name = image_folder / "photo.txt"
    wrong_name.write_bytes(encode_jpeg(make_grey_image(100, 90)))
    assert run(image_folder / "tiny.png", wrong_name, "--json", "-") == 0
    sizes = [
        (image["width"], image["height"])
        for image in json.loads(capsys.readouterr().out)["images"]
    ]
    assert sizes == [(1, 1), (100, 90)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(image_folder, capsys):
    (image_folder / "a.jpg").chmod(0)
    assert run(image_folder) == 1
    shown = capsys.readouterr()
    assert "a.jpg: the file may not be opened: permission denied" in shown.err
    assert "b.png: 2 faces" in shown.out


def test_a_folder_without_images_is_reported_in_one_line(
    image_folder, tmp_path, capsys, loaded_names
):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no image")
    line = (
        f"maskdet: {empty}: no images in this folder; accepted formats: "
        f"{IMAGE_FORMATS}\n"
        f"maskdet: left out 1 file that is not an image: {empty / 'notes.txt'}\n"
    )
    assert run(empty) == 1
    assert capsys.readouterr() == ("", line)
    assert loaded_names == []
    assert run(empty, image_folder) == 1
    shown = capsys.readouterr()
    assert shown.err == line
    assert "b.png: 2 faces" in shown.out
    assert run(empty, "--json", "-") == 1
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["path"] == str(empty)
    assert "no images in this folder" in image["error"]


def test_a_folder_is_read_by_content_with_the_folders_in_it(tmp_path, capsys):
    folder = tmp_path / "test set"
    for name in ("a.jfif", "mask/none", "mask/a.jpg", "no mask/deep/a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_jpeg(make_grey_image(100, 90)))
    others = ["README.md", "mask/clip.3gp", "mask/labels.txt", "no mask/x.csv"]
    for name in others:
        (folder / name).write_bytes(b"\0\0\0\x18ftyp3gp4")
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--json", "-") == 0
    shown = capsys.readouterr()
    content = json.loads(shown.out)
    assert [image["path"] for image in content["images"]] == [
        str(folder / name)
        for name in ("a.jfif", "mask/a.jpg", "mask/none", "no mask/deep/a.jpg")
    ]
    assert content["left_out"] == [str(folder / name) for name in others]
    assert shown.err.splitlines()[0] == (
        "maskdet: left out 4 files that are not images: "
        + ", ".join(str(folder / name) for name in others[:3])
        + " and 1 more"
    )
    copies = sorted(path for path in out.rglob("*") if path.is_file())
    assert [str(path.relative_to(out)) for path in copies] == [
        *("a.jpg", "mask/a.jpg", "mask/none.jpg", "no mask/deep/a.jpg")
    ]


def test_results_in_the_folder_itself_are_not_analyzed_the_next_time(
    image_folder, capsys
):
    for _ in range(2):
        assert run(image_folder, "--out", image_folder / "out", "--json", "-") == 0
        assert len(json.loads(capsys.readouterr().out)["images"]) == 2


def test_an_image_of_a_kind_that_cannot_be_read_is_not_left_out(image_folder, capsys):
    (image_folder / "c.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    assert run(image_folder, "--json", "-") == 1
    shown = capsys.readouterr()
    assert "c.heic: this is a HEIC photo; save it as JPEG" in shown.err
    content = json.loads(shown.out)
    assert content["left_out"] == []
    assert "HEIC" in content["images"][2]["error"]


@pytest.mark.parametrize("word", ["http://me:pw@host/a.jpg", "rtsp://host/live"])
def test_an_address_is_one_line_and_nothing_is_fetched(word, capsys, monkeypatch):
    def connect(*args):
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr("socket.socket.connect", connect)
    assert run(word, "--json", "-") == 1
    shown = capsys.readouterr()
    shown_as = word.replace("me:pw@", "")
    assert shown.err.startswith(f"maskdet: {shown_as}: this is a URL, which is not ")
    assert shown.err.count("\n") == 1
    assert json.loads(shown.out)["images"][0]["path"] == shown_as


def test_boxes_of_a_very_large_jpeg_are_in_pixels_of_the_original(tmp_path, capsys):
    path = tmp_path / "phone.jpg"
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("L", (12000, 9000), 128).save(path, exif=exif)
    assert run(path, "--out", tmp_path / "out", "--min-face-px=70", "--json=-") == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert (image["width"], image["height"]) == (9000, 12000)
    # What was analyzed has half the width and height. The second is 60 pixels wide.
    assert [face["box"] for face in image["faces"]] == [[10, 10, 90, 110]]
    copy = read_image(tmp_path / "out" / "phone.jpg")
    assert copy.shape == (6000, 4500, 3)
    changed = np.abs(copy.astype(int) - 128).max(axis=2) > 20
    assert changed[5:60, 3:9].any()
    assert not changed[200:].any()


@pytest.mark.parametrize("size_wh", [(6000, 200), (800, 1), (1, 800), (65500, 2)])
def test_long_and_thin_images_are_analyzed_and_drawn(size_wh, tmp_path, capsys):
    path = tmp_path / "thin.png"
    path.write_bytes(encode_png(make_grey_image(*size_wh)))
    assert run(path, "--out", tmp_path / "out", "--json", "-") == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert (image["width"], image["height"]) == size_wh
    assert read_image(tmp_path / "out" / "thin.png").shape == (*size_wh[::-1], 3)


def test_a_full_disk_names_the_file_and_the_rest_goes_on(
    image_folder, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"
    real = AtomicFile.commit

    def keep(file):
        if file._name.endswith("a.jpg"):
            with file.report_target_errors():
                raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(AtomicFile, "commit", keep)
    assert run(image_folder, "--out", out, "--json", "-") == 1
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        f"maskdet: --out: {out / 'a.jpg'}: no space left on device",
        f"wrote 1 annotated image to {out}",
    ]
    assert [path.name for path in out.iterdir()] == ["b.png"]
    images = json.loads(shown.out)["images"]
    assert [len(image["faces"]) for image in images] == [2, 2]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--min-score", "1.5"], "min_score must be a number from 0 to 1, not 1.5"),
        (["--min-confidence", "nan"], "min_confidence must be a number from 0 to 1"),
        (["--analyzer", "missing"], "say: maskdet models fetch missing"),
        (["--analyzer", "changed"], "sha256 is not the published one"),
        (["--settings", "nowhere.json"], "nowhere.json: no such file or directory"),
        (["--settings", "nested.json"], "nested.json: min_score must be a number"),
        (["--json", "nowhere/r.json"], "there is no folder nowhere"),
        (["--csv", "."], "--csv .: is a folder, not a file"),
        (["--out", "nested.json"], "nested.json: file exists"),
        (["--json", "-", "--csv", "-"], "cannot both write to stdout"),
    ],
)
def test_bad_options_are_one_line(options, line, image_folder, capsys, monkeypatch):
    monkeypatch.chdir(image_folder)
    (image_folder / "nested.json").write_text('{"settings": {"min_score": "high"}}')
    assert run("a.jpg", *options) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("maskdet: ")
    assert shown.err.count("\n") == 1
    assert line in shown.err


def test_an_unknown_analyzer_is_one_line(image_folder, monkeypatch, capsys):
    monkeypatch.undo()
    assert run(image_folder / "a.jpg", "--analyzer", "nonesuch") == 1
    error = capsys.readouterr().err
    assert f"must be one of {', '.join(ANALYZERS)}, not" in error
    assert "'nonesuch'" in error


def test_names_of_broken_bytes_do_not_break_the_output(image_folder, capsys):
    odd = image_folder / os.fsdecode(b"caf\xe9 \x1b[31m.png")
    odd.write_bytes(encode_png(make_grey_image(40, 40)))
    assert run(odd, "--json", "-") == 0
    path = json.loads(capsys.readouterr().out)["images"][0]["path"]
    assert path.endswith("\x1b[31m.png")
    assert run(odd) == 0
    assert r"\udce9 \x1b[31m.png: 2 faces" in capsys.readouterr().out


def test_a_device_may_be_written_to_and_stays_a_device(image_folder):
    assert run(image_folder / "a.jpg", "--json", os.devnull) == 0
    assert not os.path.isfile(os.devnull)
