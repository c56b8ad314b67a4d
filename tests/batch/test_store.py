"""Results as Parquet: parts, resuming, options."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pyarrow.dataset
import pytest

from maskdet.batch.analysis import make_error_result
from maskdet.batch.store import BatchStore
from tests.batch.batch_files import make_face, make_file, make_image_result

FILES = [make_file(f"a/{number}.jpg", day=number // 2) for number in range(4)]
FACE = make_face("mask", 0.97, 0.02, 0.01)
OPTIONS = {"image_analyzer": "onepass", "min_score": "0.5"}


@pytest.fixture
def store(tmp_path: Path):
    with BatchStore(tmp_path / "out") as store:
        store.check_options(OPTIONS)
        yield store


def read_table(store: BatchStore):
    folder = store.folder / "images"
    return pyarrow.dataset.dataset(folder, partitioning="hive").to_table()


def test_any_reader_of_parquet_finds_rows_and_days(store: BatchStore) -> None:
    store.add([make_image_result(file, [FACE]) for file in FILES])
    rows = read_table(store).to_pylist()
    assert [row["path"] for row in rows] == [file.path for file in FILES]
    assert [str(row["day"]) for row in rows] == [file.day for file in FILES]
    assert rows[0]["faces"] == [FACE]
    assert rows[0]["folder"] == "a"
    assert len(list(store.folder.rglob("*.parquet"))) == 2


def test_done_files_are_not_pending(store: BatchStore) -> None:
    store.add([make_image_result(file) for file in FILES[:2]])
    store.add([make_error_result(FILES[2], "broken")])
    changed = dataclasses.replace(FILES[1], size_bytes=7)
    pending = store.select_pending([FILES[0], changed, *FILES[2:]])
    assert pending == [changed, *FILES[2:]]
    # Their earlier rows are gone, so that no path is there twice.
    assert [row["path"] for row in store.iterate_rows("image")] == [FILES[0].path]
    store.add([make_image_result(file) for file in pending])
    assert store.select_pending([FILES[0], changed, *FILES[2:]]) == []
    assert read_table(store).num_rows == 4


def test_a_later_run_does_not_replace_parts(store: BatchStore) -> None:
    store.add([make_image_result(FILES[0])])
    again = BatchStore(store.folder)
    again.select_pending(FILES)
    again.add([make_image_result(FILES[1])])
    assert len(list(again.iterate_rows("image"))) == 2


def test_what_a_killed_run_leaves_is_deleted(store: BatchStore) -> None:
    store.add([make_image_result(file) for file in FILES])
    first, second = sorted(store.folder.rglob("*.parquet"))
    unfinished = first.with_name(".maskdet-1-whole.part")
    unfinished.write_bytes(b"PAR1")
    second.write_bytes(second.read_bytes()[:50])
    assert store.select_pending(FILES) == FILES[2:]
    assert not unfinished.exists()
    assert not second.exists()


def test_other_options_are_refused(store: BatchStore) -> None:
    other = {**OPTIONS, "min_score": "0.4"}
    store.check_options(other)  # there are no results yet
    store.add([make_image_result(FILES[0])])
    store.check_options(other)
    with pytest.raises(ValueError, match=r"have min_score 0\.4, not 0\.5; .*--restart"):
        store.check_options(OPTIONS)
    store.clear()
    store.check_options(OPTIONS)
    assert list(store.iterate_rows("image")) == []


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("text")
    with pytest.raises(ValueError, match="has other files"), BatchStore(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_runs_cannot_write_into_one_folder(store: BatchStore) -> None:
    pytest.importorskip("fcntl")
    with pytest.raises(ValueError, match="another run"), BatchStore(store.folder):
        pass


def test_json_has_the_format_of_detect(store: BatchStore) -> None:
    store.add([make_image_result(FILES[0], [FACE])])
    store.add([make_error_result(FILES[2], "broken")])
    store.write_json([Path("notes.txt")])
    content = json.loads((store.folder / "images.json").read_text())
    assert content == {
        "version": 1,
        "images": [
            make_image_result(FILES[0], [FACE]).record,
            make_error_result(FILES[2], "broken").record,
        ],
        "left_out": ["notes.txt"],
    }
    assert not (store.folder / "videos.json").exists()
