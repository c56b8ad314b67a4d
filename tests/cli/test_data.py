"""`maskdet data`: report, outputs and exit status."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from maskdet.cli import main
from maskdet.datasets import read_dataset
from tests.helpers.datasets import write_image, write_text


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Return a folder of 20 images, two of them copies of each other."""
    for i in range(10):
        write_image(tmp_path / "faces" / "mask" / f"{i}.jpg", i)
        write_image(tmp_path / "faces" / "no_mask" / f"{i}.jpg", 100 + i)
    write_image(tmp_path / "faces" / "mask" / "copy.png", 3)
    return tmp_path / "faces"


def test_the_report_has_counts_and_duplicates(faces, capsys):
    assert main(["data", str(faces)]) == 0
    head, row, *rest = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["split", "source", "images", "mask"]
    assert row.split()[:6] == ["-", "faces", "21", "11", "10", "0"]
    assert "unreadable: none" in rest
    assert "near-duplicates: 2 images in 1 group, the largest of 2" in rest
    assert "leakage between splits: none" in rest


def test_an_unreadable_image_is_named_and_gives_status_1(faces, capsys):
    (faces / "mask" / "bad.jpg").write_bytes(b"")
    assert main(["data", str(faces), "--json", "-"]) == 1
    output = capsys.readouterr()
    assert "bad.jpg: the file is empty" in output.err
    report = json.loads(output.out)
    assert [Path(example["path"]).name for example in report["unreadable"]] == [
        "bad.jpg"
    ]
    assert report["duplicates"] == {"bits": 3, "groups": 1, "images": 2, "largest": 2}
    assert report["balance"][0]["faces"] == {"mask": 11, "no_mask": 10, "incorrect": 0}


def test_a_split_is_written_and_can_be_read(faces, tmp_path, capsys):
    out = tmp_path / "split" / "index.csv"
    out.parent.mkdir()
    words = ["data", str(faces), "--split", "60/40", "--out", str(out)]
    assert main(words) == 0
    assert "wrote" in capsys.readouterr().err
    with out.open() as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    assert paths[0] == "../faces/mask/0.jpg"
    examples = read_dataset(out)
    assert len(examples) == 21
    assert {example.split for example in examples} == {"train", "val"}
    alike = [
        example for example in examples if example.path.name in ("3.jpg", "copy.png")
    ]
    twins = [example for example in alike if example.path.parent.name == "mask"]
    assert len({(example.split, example.group) for example in twins}) == 1
    first = out.read_text()
    assert main(words) == 0
    assert out.read_text() == first
    assert main([*words, "--seed", "2"]) == 0
    assert out.read_text() != first


def test_without_a_split_the_one_the_data_carry_is_written(faces, tmp_path, capsys):
    out = tmp_path / "index.csv"
    assert main(["data", str(faces), "--out", str(out)]) == 0
    assert "split by group with seed 1" in capsys.readouterr().out
    rows = out.read_text().replace(",test,", ",train,")
    out.write_text(rows)
    assert main(["data", str(out), "--out", "-"]) == 0
    assert capsys.readouterr().out.count(",val,") == rows.count(",val,")


def test_boxes_do_not_fit_an_index(tmp_path, capsys):
    write_image(tmp_path / "images" / "a.jpg")
    write_text(tmp_path / "labels" / "a.txt", "0 0.5 0.5 1 1\n")
    write_text(tmp_path / "classes.txt", "mask\n")
    out = tmp_path / "index.csv"
    assert main(["data", str(tmp_path), "--split", "70/20/10"]) == 0
    assert main(["data", str(tmp_path), "--out", str(out)]) == 1
    assert "1 image has boxes" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    "fractions", ["70/20", "0/50/50", "a/b", "100", "-10/100/10", ""]
)
def test_invalid_fractions_are_a_usage_error(faces, fractions, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["data", str(faces), f"--split={fractions}"])
    assert stopped.value.code == 2
    assert "70/20/10" in capsys.readouterr().err


def test_what_is_wrong_is_one_line(faces, tmp_path, capsys):
    index = write_text(tmp_path / "index.csv", "path,label\nfaces/mask/0.jpg,mask\n")
    for words, message in (
        ([str(tmp_path / "nowhere")], "nowhere: there is no such file or folder"),
        ([str(faces), "--source", "real"], "available are faces"),
        ([str(index), "--out", str(index)], "would overwrite"),
        ([str(faces), "--json", "-", "--out", "-"], "cannot both"),
        ([str(faces), "--corrections", str(index)], "expected the columns"),
    ):
        assert main(["data", *words]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
