"""Which format a set has, and what its labels say: the order is that of `read_any`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from maskdet.datasets import label_from_name, read_yolo
from maskdet.datasets.examples import split_from_name
from maskdet.datasets.faces import index_rows
from maskdet.datasets.reading import UNDERSTOOD
from maskdet.tune.archives import Files
from maskdet.tune.boxed_labels import (
    coco_rows,
    has_yolo_labels,
    voc_rows,
    yolo_rows,
    yolo_words,
)
from maskdet.tune.listing import Listed, Listing, Places, each_once
from maskdet.tune.notes import Notes, shortened

_INDEX = "index.csv"


def read_listing(files: Files, notes: Notes) -> Listing:
    """Return what the labels among some files say, whichever format they have.

    Raises:
        ValueError: there is no picture, or no label; one line.
    """
    places = Places(files)
    if not places.pictures:
        raise ValueError("no picture found; wanted JPEG, PNG or WebP files")
    found = _first_that_fits(places, notes)
    listed = {row.picture for row in found.rows}
    for picture in places.pictures:
        if picture not in listed and found.boxed:
            notes.add(picture, "no label names it, or only a broken one; left out")
    return found


def read_label_file(files: Files, name: str, notes: Notes) -> Listing:
    """Return what one file says: COCO, VOC or an index.

    Raises:
        ValueError: it is none of these, or names no picture that is there; one line.
    """
    places = Places(files)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".csv":
        return Listing("index", _some(_index_rows(places, name, notes), notes), False)
    if suffix == ".json":
        return Listing("COCO", _some(coco_rows(places, [name], notes), notes))
    if suffix == ".xml":
        return Listing("VOC", _some(voc_rows(places, [name], notes), notes))
    raise ValueError(f"not a labelled set; understood are {UNDERSTOOD}, or a zip")


def read_data_file(path: Path) -> Listing:
    """Return what a YOLO data file says, which may name folders anywhere.

    Raises:
        FileNotFoundError: what it names is missing.
        ValueError: it is broken; as strict as `read_yolo`.
    """
    examples = read_yolo(path)
    rows = [
        Listed(str(one.path.resolve()), tuple(x.key for x in one.labels), one.boxes)
        for one in examples
    ]
    return Listing("YOLO", tuple(rows))


def _first_that_fits(places: Places, notes: Notes) -> Listing:
    for name in places.ending((_INDEX,)):
        if PurePosixPath(name).name == _INDEX:
            return Listing(
                "index", _some(_index_rows(places, name, notes), notes), False
            )
    words = yolo_words(places)
    if words and has_yolo_labels(places):
        return Listing("YOLO", tuple(yolo_rows(places, words, notes)))
    for title, suffix, reader in (
        ("COCO", ".json", coco_rows),
        ("VOC", ".xml", voc_rows),
    ):
        rows = each_once(reader(places, places.ending((suffix,)), notes), notes)
        if rows:
            return Listing(title, rows)
    return _folders(places, notes)


def _some(rows: Iterator[Listed], notes: Notes) -> tuple[Listed, ...]:
    found = each_once(rows, notes)
    if not found:
        reasons = "; ".join(notes.lines()) or "it lists no picture"
        raise ValueError(f"no labelled picture found: {reasons}")
    return found


def _index_rows(places: Places, name: str, notes: Notes) -> Iterator[Listed]:
    folder = PurePosixPath(name).parent
    try:
        rows = list(index_rows(places.text(name), PurePosixPath(name)))
    except csv.Error as error:
        raise ValueError(f"{name}: not a CSV file: {error}") from None
    for row in rows:
        named = row["path"] or ""
        picture = places.picture([str(folder / named)]) if named else ""
        if picture:
            yield Listed(picture, ((row["label"] or "").strip() or "?",))
        else:
            notes.add(named or name, "listed, but there is no such picture; left out")


def _folders(places: Places, notes: Notes) -> Listing:
    words = {picture: _folder_word(picture) for picture in places.pictures}
    if not any(_known(word) for word in words.values()):
        folders = sorted({word for word in words.values() if word})
        words_seen = ", ".join(shortened(word) for word in folders[:3])
        seen = f" (found folders called {words_seen})" if folders else ""
        broken = "; ".join(["", *notes.lines()])
        raise ValueError(f"no labels found{seen}; understood are {UNDERSTOOD}{broken}")
    for picture, word in words.items():
        if not word:
            notes.add(picture, "in no folder that names a class; left out")
    rows = [Listed(picture, (word,)) for picture, word in words.items() if word]
    return Listing("folders", tuple(rows), boxed=False)


def _folder_word(picture: str) -> str:
    """Return the nearest folder that names a class, else the nearest, else nothing."""
    folders = list(PurePosixPath(picture).parts[:-1])[::-1]
    known = next((one for one in folders if _known(one)), "")
    return known or next((one for one in folders if not split_from_name(one)), "")


def _known(word: str) -> bool:
    try:
        label_from_name(word)
    except ValueError:
        return False
    return True
