"""Data sets with one face per image: `index.csv`, and one folder per class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Final

from maskdet.datasets.archives import DatasetError
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.example import split_from_name
from maskdet.datasets.files import (
    DatasetFiles,
    ImageAnnotations,
    augmentation_group,
    detect_encoding,
    split_from_path,
)
from maskdet.datasets.issues import Issues, truncate_name

INDEX_FILE: Final = "index.csv"

_PATH_TITLES: Final = ("path", "file", "filename", "file_name", "image", "image_path")
_LABEL_TITLES: Final = ("label", "class", "category")
_BOX_TITLES: Final = {"xmin", "x1", "x_min", "bbox", "left"}
_EXPECTED_COLUMNS: Final = (
    "expected the columns path and label (and optionally split, source, group)"
)

# Excel saves with the separator of the locale, in UTF-8, UTF-16 or a Windows code page.
_SEPARATORS: Final = ",;\t|"
_CODE_PAGES: Final = ("cp1252", "gb18030", "cp932", "cp1251")

_Row = dict[str, str]


def read_index(
    files: DatasetFiles, name: str, issues: Issues
) -> Iterator[ImageAnnotations]:
    """Yield the images of an index file (path, label, split, source, group).

    Only `path` and `label` are required; paths are relative to the folder of the file.
    Identical rows count once.

    Args:
        files: the files.
        name: of the CSV file.
        issues: collects missing images and contradictory rows.

    Raises:
        DatasetError: it is not a CSV file with these columns.
    """
    folder = str(PurePosixPath(name).parent)
    rows_by_image: dict[str, ImageAnnotations] = {}
    for row in read_index_table(files, name):
        split = split_from_name(row["split"])
        if row["split"] and not split:
            reason = "unknown split; expected train, val or test"
            issues.add(
                f"{name}: {row['split']}", reason, "row", outcome="split ignored"
            )
        image = files.find_listed_image(row["path"], [folder], name, issues)
        if not image:
            continue
        if not row["label"]:
            issues.add(f"{name}: {row['path']}", "its label is empty", "row")
            continue
        new = ImageAnnotations(
            image,
            (row["label"],),
            label_file=name,
            split=split,
            source=row["source"],
            group=row["group"],
        )
        first = rows_by_image.setdefault(image, new)
        for field_name in ("class_names", "split"):
            if getattr(first, field_name) != getattr(new, field_name):
                values = "labels" if field_name == "class_names" else "splits"
                reason = f"listed with two {values}"
                issues.add(image, reason, outcome="only the first is used")
    yield from rows_by_image.values()


def read_index_table(files: DatasetFiles, name: str) -> Sequence[_Row]:
    """Return the rows of an index file in any encoding and separator of Excel.

    Raises:
        DatasetError: it is not a CSV file with these columns.
    """
    content = files.read_bytes(name)
    default_encoding = detect_encoding(content)
    with suppress(UnicodeDecodeError):
        return _parse_index(content.decode(default_encoding), name)
    tables: list[Sequence[_Row]] = []
    for encoding in _CODE_PAGES if default_encoding == "utf-8-sig" else ():
        with suppress(UnicodeDecodeError):
            tables.append(_parse_index(content.decode(encoding), name))
    if not tables:
        raise DatasetError(
            f"{truncate_name(name)}: not a text file; save it as CSV UTF-8"
        )
    folder = [str(PurePosixPath(name).parent)]

    def count_existing_images(rows: Sequence[_Row]) -> int:
        return sum(bool(files.find_image(row["path"], folder)) for row in rows)

    return max(tables, key=count_existing_images)


def _parse_index(text: str, name: str) -> Sequence[_Row]:
    short_name = truncate_name(name)
    lines = text.splitlines()
    if lines and lines[0].lower().startswith("sep="):
        lines = lines[1:]  # a hint for Excel
    header = next((line for line in lines if line.strip()), "")
    separator = max(_SEPARATORS, key=header.count)
    try:
        cells = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator))
    except csv.Error as error:
        raise DatasetError(f"{short_name}: not a CSV file: {error}") from None
    cells = [row for row in cells if any(cell.strip() for cell in row)]
    titles = [cell.strip().casefold() for cell in cells[0]] if cells else []
    if _BOX_TITLES & set(titles):
        raise DatasetError(
            f"{short_name}: CSV files with boxes are not supported; export COCO, VOC "
            "or YOLO"
        )
    columns = {"path": _find_column(titles, _PATH_TITLES, short_name)}
    columns["label"] = _find_column(titles, _LABEL_TITLES, short_name)
    for key in ("split", "source", "group"):
        columns[key] = titles.index(key) if key in titles else len(titles)
    return [
        {
            key: row[column].strip() if column < min(len(row), len(titles)) else ""
            for key, column in columns.items()
        }
        for row in cells[1:]
    ]


def _find_column(titles: Sequence[str], names: Sequence[str], short_name: str) -> int:
    for name in names:
        if name in titles:
            return titles.index(name)
    listed_titles = ", ".join(truncate_name(title) for title in titles[:6]) or "nothing"
    raise DatasetError(
        f"{short_name}: the column {names[0]!r} is missing; {_EXPECTED_COLUMNS}, got "
        f"{listed_titles}"
    )


def read_class_folders(
    files: DatasetFiles, issues: Issues, classes: ClassNames
) -> Iterator[ImageAnnotations]:
    """Yield the images in folders that name a class, such as `mask/` and `no_mask/`.

    The nearest folder that names a class is used, else the nearest that is not a
    split; `train/`, `val/` (or `valid/`) and `test/` folders are splits.
    """
    folder_by_image = {image: _class_folder(image, classes) for image in files.images}
    for image, class_folder in folder_by_image.items():
        if class_folder:
            yield ImageAnnotations(
                image,
                (class_folder,),
                split=split_from_path(image),
                group=augmentation_group(image),
            )
        else:
            note = "not in a folder that names a class; left out"
            issues.add(image, note, is_error=False)


def has_class_folders(files: DatasetFiles, classes: ClassNames) -> bool:
    """Return whether any image is in a folder that names a class."""
    return any(classes.target(_class_folder(image, classes)) for image in files.images)


def _class_folder(image: str, classes: ClassNames) -> str:
    """Return the nearest folder that names a class, else the nearest; may be empty."""
    folders = list(PurePosixPath(image).parts[:-1])[::-1]
    class_folder = next((item for item in folders if classes.target(item)), "")
    return class_folder or next(
        (item for item in folders if not split_from_name(item)), ""
    )
