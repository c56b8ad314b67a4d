"""Read Pascal VOC: one XML file per image, with the corners of its faces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Final

import numpy as np

from maskdet.datasets.archives import DatasetError
from maskdet.datasets.example import split_from_name
from maskdet.datasets.files import (
    MAX_ELEMENTS,
    MAX_FACES_PER_IMAGE,
    Coordinates,
    DatasetFiles,
    ImageAnnotations,
    augmentation_group,
    detect_encoding,
    split_from_path,
    stack_boxes,
    too_many_boxes,
)
from maskdet.datasets.issues import Issues, truncate_name
from maskdet.media.image_formats import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_IMAGE_FOLDERS: Final = ("images", "JPEGImages")
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")

_MAX_XML_BYTES: Final = 16_000_000
"""The file of an image usually has a few kilobytes."""

_DECLARED_ENCODING = re.compile(
    rb"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)[\"'][^>]*\?>"
)
_XML_DECLARATION = re.compile(r"^\s*<\?xml.*?\?>", re.DOTALL)
# Encoding of editors on Chinese systems, often without a declaration.
_FALLBACK_ENCODING: Final = "gb18030"


def read_voc(
    files: DatasetFiles, names: Iterable[str], issues: Issues
) -> Iterator[ImageAnnotations]:
    """Yield the images of XML files.

    An image is searched by its `<filename>` or the name of the XML file: next to it,
    in `../images` and in `../JPEGImages`. `train/`, `val/` (or `valid/`) and `test/`
    folders and the lists in `ImageSets/Main` are splits.

    Corners count pixels from 1 and belong to the box ("The PASCAL Visual Object Classes
    Challenge 2012 Development Kit", M. Everingham and J. Winn: the top-left pixel has
    the coordinates (1, 1)), so `xmin, xmax = 1, w` spans an image `w` wide and becomes
    `x1, x2 = 0, w`.

    Args:
        files: the files.
        names: of the XML files.
        issues: collects their problems.

    Raises:
        DatasetError: an image has too many boxes.
    """
    split_by_stem = _read_split_lists(files)
    for name in names:
        content = files.read_bytes(name)
        n = content.count(b"<object>")
        if n > MAX_FACES_PER_IMAGE:
            raise too_many_boxes(name, n)
        try:
            root = _parse_voc(content)
        except DatasetError as error:
            issues.add(name, str(error), "XML file")
            continue
        image = _find_image(files, PurePosixPath(name), root)
        if not image:
            file_name = root.findtext("filename") or PurePosixPath(name).stem
            reason = f"its image {truncate_name(file_name)} is missing"
            issues.add(name, reason, "XML file", missing=True)
            continue
        faces = list(_read_boxes(root, name, issues))
        yield ImageAnnotations(
            image,
            tuple(class_name for _, class_name in faces),
            stack_boxes([box for box, _ in faces]),
            size_wh=_listed_size(root),
            label_file=name,
            split=split_from_path(name)
            or split_by_stem.get(PurePosixPath(name).stem, ""),
            group=augmentation_group(image),
        )


def _parse_voc(content: bytes) -> Element:
    """Return the `<annotation>` of a VOC file.

    Raises:
        DatasetError: it is not a VOC file; the message does not name it.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    if len(content) > _MAX_XML_BYTES:
        raise DatasetError(f"rejected: larger than {_MAX_XML_BYTES / 1e6:g} MB")
    if content.count(b"<") > MAX_ELEMENTS:
        raise DatasetError(f"rejected: more than {MAX_ELEMENTS:,} elements")
    # Decode first: the parser supports few encodings, and no Asian ones.
    text = _XML_DECLARATION.sub("", _decode_xml(content), count=1)
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except DefusedXmlException:
        raise DatasetError(
            "rejected: document type declarations are not allowed"
        ) from None
    except (ParseError, ValueError) as error:
        raise DatasetError(f"not valid XML: {error}") from None
    if root.tag != "annotation":
        raise DatasetError("not a Pascal VOC file, expected <annotation>")
    return root


def is_voc(content: bytes) -> bool:
    """Return whether a file looks like VOC, without parsing it."""
    return b"<annotation" in content[:4096].replace(b"\0", b"")


def _decode_xml(content: bytes) -> str:
    declared = _DECLARED_ENCODING.match(content.removeprefix(b"\xef\xbb\xbf"))
    has_bom = content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))
    if declared and not has_bom:
        encoding = declared[1].decode()
        # GB 2312 is often declared for its supersets.
        is_chinese = encoding.lower().replace("-", "") in ("gb2312", "gbk")
        encodings = [_FALLBACK_ENCODING if is_chinese else encoding]
    else:
        encodings = [detect_encoding(content), _FALLBACK_ENCODING]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except (LookupError, ValueError):
            continue
    raise DatasetError(
        f"not text in {' or '.join(encodings)}; save it in UTF-8 and declare that in "
        "its first line"
    )


def _find_image(files: DatasetFiles, file: PurePosixPath, root: Element) -> str:
    """Return the image of an XML file; empty if it is missing."""
    folders = [file.parent]
    parent = file.parent / ".."
    folders += [parent / name for name in _IMAGE_FOLDERS]
    # VOC with splits has `Annotations/train/` and `images/train/` side by side.
    folders += [parent / ".." / name / file.parent.name for name in _IMAGE_FOLDERS]
    folder_names = [str(folder) for folder in folders]
    # Use only the name: the folder is from the machine that created the file.
    file_name = PureWindowsPath((root.findtext("filename") or "").strip()).name
    if (
        file_name
        and file_name.isprintable()
        and (image := files.find_image(file_name, folder_names))
    ):
        return image
    names = [file.stem + suffix for suffix in IMAGE_SUFFIXES]
    return next(
        (item for name in names if (item := files.find_image(name, folder_names))), ""
    )


def _read_split_lists(files: DatasetFiles) -> Mapping[str, str]:
    """Return the split of each stem in `ImageSets/Main/train.txt` and similar lists."""
    return {
        line.split()[0]: split
        for name in sorted(files.files_with_suffix(".txt"))
        if PurePosixPath(name).match("ImageSets/Main/*.txt")
        and (split := split_from_name(PurePosixPath(name).stem))
        for line in files.read_text(name).splitlines()
        if line.split()
    }


def _listed_size(root: Element) -> tuple[int, int]:
    """Return the width and height in the file; 0, 0 if missing, as some tools do."""
    try:
        width = int(float(root.findtext("size/width") or 0))
        height = int(float(root.findtext("size/height") or 0))
    except (ValueError, OverflowError):
        return 0, 0
    return (width, height) if width > 0 and height > 0 else (0, 0)


def _read_boxes(
    root: Element, name: str, issues: Issues
) -> Iterator[tuple[Coordinates, str]]:
    for element in root.iter("object"):
        try:
            x1, y1, x2, y2 = (
                float(element.findtext(f"bndbox/{corner}") or "") for corner in _CORNERS
            )
        except ValueError:
            reason = f"<bndbox> must have numbers in {', '.join(_CORNERS)}"
            issues.add(name, reason, "box")
            continue
        class_name = (element.findtext("name") or "").strip()
        yield np.array([x1 - 1, y1 - 1, x2, y2]), class_name or "?"
