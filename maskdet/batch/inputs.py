"""The files of a batch: images and videos, also those of folders, zips and lists."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TypeAlias

from maskdet.datasets.archives import ArchiveLimits, ZipFiles
from maskdet.media import IMAGE_SUFFIXES, find_images
from maskdet.media.image_formats import SIGNATURE_BYTES, looks_like_image
from maskdet.media.video_reader import VIDEO_SUFFIXES, may_be_video
from maskdet.results_io import to_utf8
from maskdet.wording import format_error_reason

FileKind: TypeAlias = Literal["image", "video"]

ZIP_LIMITS: Final = ArchiveLimits(max_files=1_000_000, max_total_bytes=10**12)
"""Files of a zip are read one by one, so it may be larger than a data set."""

_ZIP_SIGNATURES: Final = (b"PK\x03\x04", b"PK\x05\x06")
_LIST_SUFFIX: Final = ".txt"


@dataclass(frozen=True)
class BatchFile:
    """A file to analyze.

    Attributes:
        path: its name in the results: the path as given, of a file in a zip that of the
            zip, `/` and the name in it.
        kind: image or video.
        size_bytes: size of the file, or of the zip that contains it.
        modified_ns: time of the last change of the file or zip, in ns since 1970.
        absolute_path: absolute path of the file or zip; all machines need it.
        member: name in the zip; empty for a file that is not in a zip.
    """

    path: str
    kind: FileKind
    size_bytes: int
    modified_ns: int
    absolute_path: str
    member: str = ""

    @property
    def identity(self) -> tuple[str, int, int]:
        """What stays the same as long as the file does not change."""
        return self.path, self.size_bytes, self.modified_ns

    @property
    def day(self) -> str:
        """The date of the last change, in UTC, such as `2026-11-21`."""
        try:
            modified_at = datetime.fromtimestamp(self.modified_ns / 1e9, UTC)
        except (OverflowError, OSError, ValueError):  # the clock of a camera was wrong
            modified_at = datetime.fromtimestamp(0, UTC)
        return f"{modified_at:%Y-%m-%d}"


@dataclass(frozen=True)
class BatchInputs:
    """The files of all sources.

    Attributes:
        files: the images and videos, each once.
        problems: sources that cannot be read, with the reason in one line.
        left_out: files in folders and zips that are neither image nor video.
    """

    files: list[BatchFile] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)


def collect_files(
    sources: Iterable[str], *, exclude: Path | None = None
) -> BatchInputs:
    """Return the images and videos of files, folders, zips and lists.

    Args:
        sources: paths. A file that ends in `.txt` is a list with one path per line,
            relative to the current folder. Folders are searched recursively.
        exclude: a folder that is not searched, that of the results.
    """
    collector = _Collector(exclude)
    for source in sources:
        collector.add_source(source, is_listed=False)
    return collector.inputs


class _Collector:
    """Collects files; what cannot be read becomes a problem."""

    def __init__(self, exclude: Path | None) -> None:
        self.inputs = BatchInputs()
        self._exclude = exclude
        self._known: set[tuple[str, str]] = set()

    def add_source(self, source: str, *, is_listed: bool) -> None:
        """Add a file, folder, zip or list."""
        path = Path(source)
        try:
            if "://" in source:
                raise ValueError(
                    "is not a file; `maskdet video` reads cameras and URLs"
                )
            if path.is_dir():
                self._add_folder(path)
            elif not path.exists():
                raise FileNotFoundError("there is no such file")
            elif path.suffix.lower() != _LIST_SUFFIX:
                self._add_file(path, source, is_explicit=True)
            elif is_listed:
                raise ValueError("a list cannot contain lists")
            else:
                self._add_list(path)
        except (ValueError, OSError) as error:
            self.inputs.problems[to_utf8(source)] = format_error_reason(error)

    def _add_list(self, path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in filter(None, map(str.strip, lines)):
            self.add_source(line, is_listed=True)

    def _add_folder(self, folder: Path) -> None:
        content = find_images(folder, exclude=self._exclude)
        for unreadable_folder, error in content.unreadable_folders.items():
            self.inputs.problems[to_utf8(unreadable_folder)] = (
                f"the folder cannot be read: {format_error_reason(error)}"
            )
        for path in sorted([*content.images, *content.skipped]):
            try:
                self._add_file(path, str(path), is_explicit=False)
            except (ValueError, OSError) as error:
                self.inputs.problems[to_utf8(path)] = format_error_reason(error)

    def _add_file(self, path: Path, name: str, *, is_explicit: bool) -> None:
        """Add a file of unknown kind; one that is given explicitly is an image else."""
        if _is_image_name(path.name):
            self._add(_describe_file(path, name, "image"))
        elif may_be_video(path):
            self._add(_describe_file(path, name, "video"))
        elif _is_zip(path):
            self._add_zip(path, name)
        elif is_explicit or looks_like_image(path.name, _read_head(path)):
            self._add(_describe_file(path, name, "image"))
        else:
            self.inputs.left_out.append(path)

    def _add_zip(self, path: Path, name: str) -> None:
        archive = ZipFiles(path, ZIP_LIMITS)
        if archive.notes:
            self.inputs.problems[to_utf8(name)] = "; ".join(archive.notes)
        # Once for the zip: on a network file system, this takes a while.
        image = _describe_file(path, name, "image")
        video = replace(image, kind="video")
        for member in archive.names:
            if _is_image_name(member):
                file = image
            elif member.lower().endswith(VIDEO_SUFFIXES):
                file = video
            elif looks_like_image(member, archive.read_head(member)):
                file = image
            else:
                self.inputs.left_out.append(Path(name, member))
                continue
            member_path = to_utf8(f"{name}/{member}")
            self._add(replace(file, path=member_path, member=member))

    def _add(self, file: BatchFile) -> None:
        key = file.absolute_path, file.member
        if key not in self._known:
            self._known.add(key)
            self.inputs.files.append(file)


def _describe_file(path: Path, name: str, kind: FileKind) -> BatchFile:
    stat = path.stat()
    absolute_path = os.path.realpath(path)
    return BatchFile(to_utf8(name), kind, stat.st_size, stat.st_mtime_ns, absolute_path)


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _is_zip(path: Path) -> bool:
    return _read_head(path).startswith(_ZIP_SIGNATURES)


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SIGNATURE_BYTES)
