"""The results of a batch as Parquet; a part that is there is finished.

    DIR/batch.json                                  the options of the results
    DIR/images/day=2026-11-21/part-000001.parquet   images, with a list of faces
    DIR/videos/day=2026-11-21/part-000002.parquet   videos, with a list of people

A part is written under another name and renamed, so a run that was killed leaves only
finished parts. Each row has size and time of its file, by which a later run knows that
the file is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from maskdet.atomic_file import AtomicFile
from maskdet.batch.analysis import FileResult
from maskdet.batch.inputs import BatchFile, FileKind
from maskdet.results_io import ImageRecord, iterate_results_json
from maskdet.types import CLASSES, Label
from maskdet.video.report import iterate_reports_json

KINDS: Final[tuple[FileKind, ...]] = ("image", "video")

STORE_VERSION: Final = 1
"""Incremented when a column is changed or removed, not when one is added."""

_OPTIONS_FILE: Final = "batch.json"
_JSON_FILES: Final[dict[FileKind, str]] = {
    "image": "images.json",
    "video": "videos.json",
}
REPORT_PAGE: Final = "report.html"
CONTACT_SHEET: Final = "contact-sheet.jpg"
_PART_PATTERN: Final = "day=*/part-*.parquet"

_LABEL_S: Final = pa.struct([(label.key, pa.float64()) for label in Label])
_FILE_COLUMNS: Final = [
    ("path", pa.string()),
    ("folder", pa.string()),
    ("member", pa.string()),
    ("size_bytes", pa.int64()),
    ("modified_ns", pa.int64()),
    ("cpu_s", pa.float64()),
    ("error", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
]
_FACE: Final = pa.struct(
    [
        ("box", pa.list_(pa.float64())),
        ("score", pa.float64()),
        ("label", pa.string()),
        ("probs", pa.struct([(label.key, pa.float64()) for label in CLASSES])),
    ]
)
_PERSON: Final = pa.struct(
    [
        ("person", pa.int64()),
        ("first_s", pa.float64()),
        ("last_s", pa.float64()),
        ("seen_s", pa.float64()),
        ("label", pa.string()),
        ("confidence", pa.float64()),
        ("label_s", _LABEL_S),
        ("crop", pa.binary()),
    ]
)
SCHEMAS: Final[dict[FileKind, pa.Schema]] = {
    "image": pa.schema([*_FILE_COLUMNS, ("faces", pa.list_(_FACE))]),
    "video": pa.schema(
        [
            *_FILE_COLUMNS,
            ("is_complete", pa.bool_()),
            ("frame_rate", pa.float64()),
            ("duration_s", pa.float64()),
            ("n_frames", pa.int64()),
            ("analyzed_s", pa.float64()),
            ("mask_rate", pa.float64()),
            ("label_s", _LABEL_S),
            ("people", pa.list_(_PERSON)),
            ("report", pa.string()),
        ]
    ),
}
"""Columns of the parts. `day` is in the name of the folder. `report` is the whole
record of a video in the JSON of `maskdet video`."""


class BatchStore:
    """The folder with the results of a batch; use it as a context manager.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        """Set the folder; nothing is read yet."""
        self.folder = folder
        self._n_parts = 0
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Create the folder, and lock it for this process.

        Raises:
            ValueError: another process writes into it, or it has other files.
            OSError: it cannot be created.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"--out {self.folder}: is a file, not a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        names = [name for name in os.listdir(self.folder) if name[0] != "."]
        if names and _OPTIONS_FILE not in names:
            raise ValueError(
                f"--out {self.folder}: has other files in it; choose a new folder"
            )
        self._lock.enter_context(_lock_folder(self.folder))
        return self

    def __exit__(self, *error: object) -> None:
        """Unlock the folder."""
        self._lock.close()

    def clear(self) -> None:
        """Delete all results."""
        for kind in KINDS:
            shutil.rmtree(self._kind_folder(kind), ignore_errors=True)
        for name in (*_JSON_FILES.values(), REPORT_PAGE, CONTACT_SHEET, _OPTIONS_FILE):
            (self.folder / name).unlink(missing_ok=True)

    def check_options(self, options: Mapping[str, str]) -> None:
        """Compare the options with those of the results; store them without results.

        Raises:
            ValueError: there are results of other options.
            OSError: a file cannot be read or written.
        """
        path = self.folder / _OPTIONS_FILE
        if path.exists() and self._list_parts():
            stored = _read_options(path)
            changed = sorted(
                name
                for name in {*stored, *options}
                if stored.get(name) != options.get(name)
            )
            if changed:
                name = changed[0]
                raise ValueError(
                    f"--out {self.folder}: its results have {name} "
                    f"{stored.get(name, 'none')}, not {options.get(name, 'none')}; "
                    "choose another folder, or --restart to delete them"
                )
        else:
            content = {"version": STORE_VERSION, "options": dict(options)}
            _write_text(path, [json.dumps(content, indent=2, ensure_ascii=False), "\n"])

    def select_pending(self, files: Sequence[BatchFile]) -> list[BatchFile]:
        """Return the files that are not done; delete earlier rows of these.

        A file is done if it has a row without an error, and has not changed since. What
        a killed run has left unfinished is deleted.
        """
        for unfinished_file in self.folder.rglob(".maskdet-*.part"):
            unfinished_file.unlink(missing_ok=True)
        known_paths: set[str] = set()
        done: set[tuple[str, int, int]] = set()
        columns = ["path", "size_bytes", "modified_ns", "error"]
        for part in self._list_parts():
            self._n_parts = max(self._n_parts, int(part.stem.rpartition("-")[2]))
            try:
                table = pq.ParquetFile(part).read(columns)
            except (OSError, pa.ArrowException):  # for example after a power cut
                part.unlink()
                continue
            for path, size_bytes, modified_ns, error in zip(
                *(table[name].to_pylist() for name in columns), strict=True
            ):
                known_paths.add(path)
                if error is None:
                    done.add((path, size_bytes, modified_ns))
        pending = [file for file in files if file.identity not in done]
        self._drop({file.path for file in pending} & known_paths)
        return pending

    def _drop(self, paths: Set[str]) -> None:
        """Delete the rows of files."""
        for part in self._list_parts() if paths else ():
            table = pq.ParquetFile(part).read()
            kept = [path not in paths for path in table["path"].to_pylist()]
            if not any(kept):
                part.unlink()
            elif not all(kept):
                _write_table(part, table.filter(pa.array(kept)))

    def add(self, results: Sequence[FileResult]) -> None:
        """Write results as new parts, one for each kind and day.

        Raises:
            OSError: a part cannot be written.
        """
        rows: dict[tuple[FileKind, str], list[dict[str, Any]]] = defaultdict(list)
        for result in results:
            rows[result.file.kind, result.day].append(_make_row(result))
        for (kind, day), part_rows in rows.items():
            self._n_parts += 1
            name = f"part-{self._n_parts:06}.parquet"
            path = self._kind_folder(kind) / f"day={day}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_table(path, pa.Table.from_pylist(part_rows, SCHEMAS[kind]))

    def iterate_rows(
        self, kind: FileKind, columns: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of images or videos, with `day`, part by part."""
        for part in self._list_parts([kind]):
            day = part.parent.name.removeprefix("day=")
            table = pq.ParquetFile(part).read(columns)
            yield from ({**row, "day": day} for row in table.to_pylist())

    def write_json(self, left_out: Iterable[Path]) -> None:
        """Write `images.json` and `videos.json`, as `detect` and `video` do.

        Raises:
            OSError: a file cannot be written.
        """
        if self._list_parts(["image"]):
            columns = list(ImageRecord.__annotations__)
            records = (
                {name: row[name] for name in columns}
                for row in self.iterate_rows("image", columns)
            )
            path = self.folder / _JSON_FILES["image"]
            _write_text(path, iterate_results_json(records, left_out))
        if self._list_parts(["video"]):
            reports = (
                json.loads(row["report"])
                for row in self.iterate_rows("video", ["report"])
            )
            path = self.folder / _JSON_FILES["video"]
            _write_text(path, iterate_reports_json(reports))

    def _kind_folder(self, kind: FileKind) -> Path:
        return self.folder / f"{kind}s"

    def _list_parts(self, kinds: Sequence[FileKind] = KINDS) -> list[Path]:
        return [
            part
            for kind in kinds
            for part in sorted(self._kind_folder(kind).glob(_PART_PATTERN))
        ]


def _make_row(result: FileResult) -> dict[str, Any]:
    """Return the row of a file, by the columns of `SCHEMAS`."""
    file, record = result.file, result.record
    row = {
        **record,
        "path": file.path,
        "folder": str(PurePosixPath(file.path.replace(os.sep, "/")).parent),
        "member": file.member,
        "size_bytes": file.size_bytes,
        "modified_ns": file.modified_ns,
        "cpu_s": round(result.cpu_s, 4),
    }
    if file.kind == "video":
        row["people"] = [
            {**person, "crop": result.crops.get(person["person"])}
            for person in record["people"]
        ]
        row["report"] = json.dumps(record, ensure_ascii=False)
    return row


def _write_table(path: Path, table: pa.Table) -> None:
    with AtomicFile(path) as file, file.report_target_errors():
        pq.write_table(table, file.stream.buffer, compression="zstd")
        file.commit()


def _write_text(path: Path, texts: Iterable[str]) -> None:
    with AtomicFile(path) as file:
        for text in texts:
            file.write(text)
        file.commit()


def _read_options(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] == STORE_VERSION:
            return dict(content["options"])
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(
        f"{path}: was written by another version of maskdet, or damaged; choose "
        "another folder, or --restart to delete the results"
    )


@contextlib.contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out; the lock ends with the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"--out {folder}: another run of `maskdet batch` writes there; wait "
                "for it or choose another folder"
            ) from None
        except OSError:  # some network file systems have no locks
            pass
        yield
