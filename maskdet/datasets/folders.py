"""Sets of one face an image: `index.csv`, and a folder for each class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Final

from maskdet.datasets.archives import DatasetError
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.examples import split_from_name
from maskdet.datasets.issues import Issues, shortened
from maskdet.datasets.listing import (
    Listed,
    SetFiles,
    copies_group,
    encoding_of,
    split_of,
)

INDEX: Final = "index.csv"

_PATH: Final = ("path", "file", "filename", "file_name", "image", "image_path")
_LABEL: Final = ("label", "class", "category")
_BOX: Final = {"xmin", "x1", "x_min", "bbox", "left"}
_WANTED: Final = "wanted the columns path and label (and split, source, group)"

# How Excel saves: with the separator of the country, in UTF-8, UTF-16 or the code page
# of Windows.
_SEPARATORS: Final = ",;\t|"
_ANSI: Final = ("cp1252", "gb18030", "cp932", "cp1251")

_Row = dict[str, str]


def index_rows(files: SetFiles, name: str, issues: Issues) -> Iterator[Listed]:
    """Return the images of an index (path, label, split, source, group).

    Only `path` and `label` must be there; paths are relative to the file's folder. An
    image listed twice in the same way counts once.

    Args:
        files: the files.
        name: of the CSV file.
        issues: get images that are missing and rows that contradict each other.

    Raises:
        DatasetError: it is no CSV file with these columns.
    """
    folder = str(PurePosixPath(name).parent)
    known: dict[str, Listed] = {}
    for row in index_table(files, name):
        split = split_from_name(row["split"])
        if row["split"] and not split:
            reason = "unknown split; known are train, val, test"
            issues.add(f"{name}: {row['split']}", reason, "row", outcome="read without")
        image = files.image(row["path"], [folder]) if row["path"] else ""
        if not image:
            reason = f"listed in {shortened(name)}, but there is no such image"
            issues.add(row["path"] or name, reason, missing=True)
            continue
        if not row["label"]:
            issues.add(f"{name}: {row['path']}", "its label is empty", "row")
            continue
        new = Listed(
            image,
            (row["label"],),
            labels=name,
            split=split,
            source=row["source"],
            group=row["group"],
        )
        first = known.setdefault(image, new)
        for what in ("words", "split"):
            if getattr(first, what) != getattr(new, what):
                reason = f"listed with two {'labels' if what == 'words' else 'splits'}"
                issues.add(image, reason, outcome="only the first counts")
    yield from known.values()


def index_table(files: SetFiles, name: str) -> Sequence[_Row]:
    """Return the rows of an index, whatever Excel made of it.

    Raises:
        DatasetError: it is no CSV file with these columns.
    """
    content = files.content(name)
    usual = encoding_of(content)
    with suppress(UnicodeDecodeError):
        return _rows(content.decode(usual), name)
    tables: list[Sequence[_Row]] = []
    for encoding in _ANSI if usual == "utf-8-sig" else ():
        with suppress(UnicodeDecodeError):
            tables.append(_rows(content.decode(encoding), name))
    if not tables:
        raise DatasetError(f"{shortened(name)}: not a text file; save it as CSV UTF-8")
    folder = [str(PurePosixPath(name).parent)]

    def there(rows: Sequence[_Row]) -> int:
        return sum(bool(files.image(row["path"], folder)) for row in rows)

    return max(tables, key=there)


def _rows(text: str, name: str) -> Sequence[_Row]:
    shown = shortened(name)
    lines = text.splitlines()
    if lines and lines[0].lower().startswith("sep="):
        lines = lines[1:]  # a hint for Excel
    head = next((line for line in lines if line.strip()), "")
    separator = max(_SEPARATORS, key=head.count)
    try:
        cells = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    except csv.Error as error:
        raise DatasetError(f"{shown}: not a CSV file: {error}") from None
    cells = [row for row in cells if any(cell.strip() for cell in row)]
    titles = [cell.strip().casefold() for cell in cells[0]] if cells else []
    if _BOX & set(titles):
        raise DatasetError(
            f"{shown}: a CSV file of boxes is not understood; export COCO, VOC or YOLO"
        )
    columns = {"path": _column(titles, _PATH, shown)}
    columns["label"] = _column(titles, _LABEL, shown)
    for key in ("split", "source", "group"):
        columns[key] = titles.index(key) if key in titles else len(titles)
    return [
        {
            key: row[column].strip() if column < min(len(row), len(titles)) else ""
            for key, column in columns.items()
        }
        for row in cells[1:]
    ]


def _column(titles: Sequence[str], names: Sequence[str], shown: str) -> int:
    for name in names:
        if name in titles:
            return titles.index(name)
    there = ", ".join(shortened(title) for title in titles[:6]) or "nothing"
    raise DatasetError(
        f"{shown}: the column {names[0]!r} is missing; {_WANTED}, found {there}"
    )


def folder_rows(
    files: SetFiles, issues: Issues, classes: ClassNames
) -> Iterator[Listed]:
    """Return the images in folders that name a class, such as `mask/` and `no_mask/`.

    The nearest folder that names a class counts, else the nearest that names no split;
    `train/`, `val/` (or `valid/`) and `test/` folders are understood as splits.
    """
    words = {image: _folder_word(image, classes) for image in files.images}
    for image, word in words.items():
        if word:
            yield Listed(
                image, (word,), split=split_of(image), group=copies_group(image)
            )
        else:
            note = "in no folder that names a class; left out"
            issues.add(image, note, stops=False)


def names_a_class(files: SetFiles, classes: ClassNames) -> bool:
    """Return whether an image lies in a folder that names a class."""
    return any(classes.target(_folder_word(image, classes)) for image in files.images)


def _folder_word(image: str, classes: ClassNames) -> str:
    """Return the nearest folder that names a class, else the nearest, else nothing."""
    folders = list(PurePosixPath(image).parts[:-1])[::-1]
    known = next((item for item in folders if classes.target(item)), "")
    return known or next((item for item in folders if not split_from_name(item)), "")
