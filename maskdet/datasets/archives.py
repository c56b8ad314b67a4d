"""File access for data sets: a folder, files in memory, or a zip that stays packed."""

from __future__ import annotations

import io
import os
import posixpath
import re
import stat
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Final

from maskdet.datasets.issues import Issues
from maskdet.media.image_formats import SIGNATURE_BYTES

_DIRECTORY_SIGNATURE: Final = b"PK\x01\x02"
_BLOCK_BYTES: Final = 1 << 20

_ARCHIVE_SUFFIXES: Final = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
_SUPPORTED_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Decompression of other methods cannot be limited in size."""

_ENCRYPTED_FLAG: Final = (
    0x1  # APPNOTE 6.3.10, 4.4.4: bit 0 of the general purpose flags
)
_DRIVE_LETTER = re.compile(r"[A-Za-z]:")


class DatasetError(ValueError):
    """A data set or one of its files cannot be read; the message is one line."""


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits above which a zip is rejected.

    Attributes:
        max_files: number of files.
        max_total_bytes: total size of the unpacked files.
        max_ratio: unpacked size divided by the size of the zip. Images do not
            compress, text compresses by a factor of ten.
        ratio_exempt_bytes: unpacked sizes up to this may have any ratio.
    """

    max_files: int = 20_000
    max_total_bytes: int = 2_000_000_000
    max_ratio: float = 100.0
    ratio_exempt_bytes: int = 50_000_000


class FileSource(ABC):
    """The files of a data set; names are relative, with `/` between folders."""

    notes: tuple[str, ...] = ()
    """Files that were left out and why, one line per reason."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """All files, sorted, without hidden ones."""

    def local_path(self, name: str) -> Path | None:
        """Return the path of a file on this machine; None in a zip or in memory."""
        return None

    def list_folder(self, folder: str) -> Sequence[str]:
        """Return all files in a folder and its subfolders, sorted."""
        folder = posixpath.normpath(folder)
        return [
            name
            for name in self.names
            if folder == "." or name.startswith(f"{folder}/")
        ]

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Return whether the file exists."""

    def read_head(self, name: str) -> bytes:
        """Return the first `SIGNATURE_BYTES` of a file; empty if it cannot be read."""
        try:
            return self._read_start(name, SIGNATURE_BYTES)
        except ValueError:
            return b""

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return the content of a file.

        Raises:
            DatasetError: it is missing, damaged or larger than `max_bytes`; the message
                does not name it.
        """
        if not self.exists(name):
            raise DatasetError("there is no such file")
        content = self._read_start(name, max_bytes + 1)
        if len(content) > max_bytes:
            raise DatasetError(f"larger than {max_bytes / 1e6:g} MB")
        return content

    @abstractmethod
    def _read_start(self, name: str, n_bytes: int) -> bytes:
        """Return the first bytes of a file that exists.

        Raises:
            DatasetError: it cannot be read.
        """


class MemoryFiles(FileSource):
    """Files in memory, such as single uploads."""

    names: tuple[str, ...] = ()

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        """Store the contents by name."""
        self._contents = dict(contents)
        self.names = tuple(sorted(self._contents))

    def exists(self, name: str) -> bool:
        """Return whether the file exists."""
        return name in self._contents

    def _read_start(self, name: str, n_bytes: int) -> bytes:
        return self._contents.get(name, b"")[:n_bytes]


class FolderFiles(FileSource):
    """Files of a folder on this machine, and files elsewhere that its labels name."""

    def __init__(self, root: Path) -> None:
        """Set the folder; it is searched when `names` is first used."""
        self._root = root

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All files below the folder, sorted, without hidden ones."""
        return tuple(self._walk(self._root))

    def _walk(self, folder: Path) -> list[str]:
        paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        return sorted(
            name for name in paths if not _is_hidden(name) and (folder / name).is_file()
        )

    def local_path(self, name: str) -> Path | None:
        """Return the path of a file."""
        return self._root / name

    def list_folder(self, folder: str) -> Sequence[str]:
        """Return all files in a folder, which may lie outside the root."""
        if not folder.startswith(("/", "..")):
            return super().list_folder(folder)
        path = self._root / folder
        names = self._walk(path) if path.is_dir() else []
        return [posixpath.join(folder, name) for name in names]

    def exists(self, name: str) -> bool:
        """Return whether the file exists."""
        try:
            return (self._root / name).is_file()
        except (OSError, ValueError):
            return False

    def _read_start(self, name: str, n_bytes: int) -> bytes:
        try:
            with (self._root / name).open("rb") as file:
                # Python reserves as much memory as it is asked to read. Some file
                # systems report no size.
                size = os.fstat(file.fileno()).st_size
                return file.read(min(n_bytes, size or n_bytes))
        except OSError as error:
            raise DatasetError(f"cannot be read: {error.strerror}") from None


class ZipFiles(FileSource):
    """Files of a zip, read one by one into memory; nothing is written to disk.

    Paths outside the zip, links, encrypted files and nested archives are left out and
    noted. Reading is thread-safe.
    """

    names: tuple[str, ...] = ()

    def __init__(
        self, source: Path | bytes, limits: ArchiveLimits = ArchiveLimits()
    ) -> None:
        """Open a zip and check its directory before anything is unpacked.

        Raises:
            FileNotFoundError: the file does not exist.
            DatasetError: it is not a zip, is damaged, exceeds the limits, or contains
                no readable file.
        """
        stream: IO[bytes] = (
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        )
        self._zip = _open_zip(stream, limits)
        self._lock = threading.Lock()
        self._entries, self.notes = _select_entries(self._zip.infolist())
        self.names = tuple(sorted(self._entries))
        packed_bytes = stream.seek(0, io.SEEK_END)
        _reject_bombs(self._zip.infolist(), packed_bytes, limits)
        if not self.names:
            raise DatasetError("; ".join(self.notes) or "the zip is empty")

    def exists(self, name: str) -> bool:
        """Return whether the file exists."""
        return name in self._entries

    def _read_start(self, name: str, n_bytes: int) -> bytes:
        # The directory may state a wrong size, so `read` checks the content as well.
        try:
            with self._lock, self._zip.open(self._entries[name]) as file:
                return file.read(n_bytes)
        # Malformed input makes zipfile raise many kinds of errors, from BadZipFile to
        # struct.error.
        except Exception:
            raise DatasetError("damaged in the zip") from None


def _open_zip(file: IO[bytes], limits: ArchiveLimits) -> zipfile.ZipFile:
    if _count_entries(file) > limits.max_files:
        raise DatasetError(
            f"the zip contains more than {limits.max_files:,} files; split it"
        )
    try:
        return zipfile.ZipFile(file)
    except Exception:
        file.seek(0)
        reason = "not a zip file; upload the data set as a zip"
        if file.read(2) == b"PK":
            reason = "the zip is damaged or incomplete; create it again"
        raise DatasetError(reason) from None


def _count_entries(file: IO[bytes]) -> int:
    """Return how often the signature of a directory entry occurs.

    This is counted before zipfile builds an object for each entry, because the number
    that is stored in the zip may be wrong.
    """
    count, tail = 0, b""
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        count += (tail + block).count(_DIRECTORY_SIGNATURE)
        # Too short for a whole signature, so none is counted twice.
        tail = block[-(len(_DIRECTORY_SIGNATURE) - 1) :]
    return count


def _reject_bombs(
    entries: list[zipfile.ZipInfo], packed_bytes: int, limits: ArchiveLimits
) -> None:
    """Reject a zip by the stated sizes; no more than these is ever unpacked."""
    total = sum(entry.file_size for entry in entries)
    if total > limits.max_total_bytes:
        raise DatasetError(
            f"rejected: the zip unpacks to more than {limits.max_total_bytes / 1e9:g} "
            "GB; split it"
        )
    if total > max(limits.ratio_exempt_bytes, limits.max_ratio * packed_bytes):
        raise DatasetError(
            f"rejected: the zip unpacks to {total / packed_bytes:,.0f} times its size "
            "(possible decompression bomb)"
        )


def _select_entries(
    entries: list[zipfile.ZipInfo],
) -> tuple[dict[str, zipfile.ZipInfo], tuple[str, ...]]:
    """Return the readable files by name, and notes about the others."""
    kept: dict[str, zipfile.ZipInfo] = {}
    notes = Issues()
    for entry in entries:
        # zipfile cuts names at a null byte; check the whole name.
        name = entry.orig_filename.replace("\\", "/")
        if name.endswith("/") or _is_hidden(name):
            continue
        reason = _rejection_reason(entry, name)
        name = name if reason else posixpath.normpath(name)
        if not reason and name in kept:
            reason = "duplicate name"
        if reason:
            notes.add(name, reason, "file")
        else:
            kept[name] = entry
    return kept, notes.lines()


def _rejection_reason(entry: zipfile.ZipInfo, name: str) -> str:
    """Return why an entry is left out; empty if it is kept."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.startswith("/") or _DRIVE_LETTER.match(name) or ".." in name.split("/"):
        return "the path leads out of the zip"
    if not name.isprintable():
        return "unprintable characters in the name"
    if kind not in (0, stat.S_IFREG):
        return "a link or device, not a file"
    if entry.flag_bits & _ENCRYPTED_FLAG:
        return "encrypted; remove the password"
    if name.lower().endswith(_ARCHIVE_SUFFIXES):
        return "nested archive; unpack it first"
    if entry.compress_type not in _SUPPORTED_METHODS:
        return "unsupported compression; use a standard zip"
    return ""


def _is_hidden(name: str) -> bool:
    """Return whether a file is hidden or created by the operating system."""
    parts = name.split("/")
    return any(
        (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX"
        for part in parts
    )
