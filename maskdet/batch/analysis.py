"""Analyze the files of a batch in one process, which keeps its models."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import cv2

from maskdet import __version__
from maskdet.analyzers.pipelines import (
    Analyzer,
    analyze_decoded,
    load_analyzer,
    network_path,
    own_network_name,
)
from maskdet.analyzers.tiles import Tiling, apply_tiling
from maskdet.batch.inputs import ZIP_LIMITS, BatchFile, FileKind
from maskdet.classifier import BUILT_IN_CLASSIFIERS, classifier_path
from maskdet.datasets.archives import ZipFiles
from maskdet.media import MAX_BYTES, decode_image, open_video_file
from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE, sha256_of
from maskdet.people import Person
from maskdet.results_io import error_record, image_record
from maskdet.settings import Settings
from maskdet.threads import use_threads
from maskdet.types import Label
from maskdet.video import VideoOutputs, VideoReport, run_video_analysis
from maskdet.wording import format_error_reason

MAX_CROPS_PER_VIDEO: Final = 12
"""Face crops kept of a video for the contact sheet, at about 5 kB each."""

_MAX_ZIPPED_VIDEO_BYTES: Final = 2_000_000_000


@dataclass(frozen=True)
class BatchOptions:
    """How all files of a batch are analyzed; the same options give the same results.

    Attributes:
        image_analyzer: name of the analyzer of images.
        video_analyzer: name of the analyzer of videos.
        classifier: name or path of the classifier.
        refine: whether the classifier may re-check low-confidence faces.
        settings: thresholds, label smoothing and distances.
        tiling: how images and frames are split into tiles; None for whole ones.
        rotate: clockwise rotation in degrees.
        every: only every n-th frame of a video is analyzed.
        keep_crops: whether face crops are kept for the contact sheet.
        model_folder: folder of own models, or empty.
    """

    image_analyzer: str
    video_analyzer: str
    classifier: str
    refine: bool = True
    settings: Settings = field(default_factory=Settings)
    tiling: Tiling | None = None
    rotate: int = 0
    every: int = 1
    keep_crops: bool = True
    model_folder: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return everything that the results depend on, by the name of the option."""
        values = {
            member.name: getattr(self, member.name)
            for member in fields(self)
            if member.name not in ("settings", "model_folder")
        }
        values |= {
            member.name: getattr(self.settings, member.name)
            for member in fields(self.settings)
        }
        for name in {self.image_analyzer, self.video_analyzer}:
            if own_network_name(name) is not None:
                values[f"network {name}"] = sha256_of(network_path(name))
        if self.classifier not in BUILT_IN_CLASSIFIERS:
            values["classifier file"] = sha256_of(classifier_path(self.classifier))
        values["version"] = __version__
        return {name: str(value) for name, value in values.items()}


@dataclass(frozen=True)
class FileResult:
    """The result of one file, as plain values that go from process to process.

    Attributes:
        file: the file.
        record: that of an image in the JSON of `detect`, or of a video in that of
            `video`.
        day: date of the recording if it is known, else of the last change of the file;
            in UTC.
        crops: JPEG files of faces in a video, by track ID.
        cpu_s: processor time of the analysis, in seconds.
        elapsed_s: duration of the analysis, in seconds.
    """

    file: BatchFile
    record: dict[str, Any]
    day: str
    crops: dict[int, bytes] = field(default_factory=dict)
    cpu_s: float = 0.0
    elapsed_s: float = 0.0


def make_error_result(file: BatchFile, message: str) -> FileResult:
    """Return the result of a file that cannot be analyzed."""
    if file.kind == "image":
        return FileResult(file, dict(error_record(file.path, message)), file.day)
    return FileResult(file, VideoReport(file.path, error=message).to_dict(), file.day)


@contextlib.contextmanager
def _use_one_core() -> Iterator[None]:
    """Give one thread to OpenCV, and to each network that is loaded meanwhile.

    There is a process for each core; with more threads they would wait for each other.
    """
    n_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with use_threads(1):
            yield
    finally:
        cv2.setNumThreads(n_threads)


class FileAnalyzer:
    """Analyzes files one after the other with one thread; loads each analyzer once."""

    def __init__(self, options: BatchOptions) -> None:
        """Set the options; nothing is loaded yet."""
        self._options = options
        self._analyzers: dict[FileKind, Analyzer] = {}
        if options.model_folder:
            os.environ[MODEL_DIR_VARIABLE] = options.model_folder

    @_use_one_core()
    def load(self, kinds: Sequence[FileKind]) -> None:
        """Load the analyzers of some kinds of files.

        Raises:
            ValueError, OSError, RuntimeError: a model or library is missing or broken.
        """
        for kind in kinds:
            self._get_analyzer(kind)

    @_use_one_core()
    def analyze(self, files: Sequence[BatchFile]) -> list[FileResult]:
        """Return a result for each file; an error becomes part of its result."""
        return [self._analyze_file(file) for file in files]

    def _analyze_file(self, file: BatchFile) -> FileResult:
        analyze = self._analyze_image if file.kind == "image" else self._analyze_video
        cpu_s, started_s = _measure_cpu_s(), time.perf_counter()
        try:
            result = analyze(file)
        except (ValueError, OSError) as error:
            result = make_error_result(file, format_error_reason(error))
        # A file must not end the batch, whatever is wrong with it.
        except Exception as error:
            reason = f"internal error: {type(error).__name__}: {error}"
            result = make_error_result(file, reason.splitlines()[0])
        return dataclasses.replace(
            result,
            cpu_s=_measure_cpu_s() - cpu_s,
            elapsed_s=time.perf_counter() - started_s,
        )

    def _analyze_image(self, file: BatchFile) -> FileResult:
        source = read_source(file.absolute_path, file.member, file.modified_ns)
        image = decode_image(source).rotate(self._options.rotate)
        analyzer = self._get_analyzer("image")
        scene = analyze_decoded(analyzer, image, self._options.settings)
        record = image_record(file.path, (image.width, image.height), scene)
        return FileResult(file, dict(record), file.day)

    def _analyze_video(self, file: BatchFile) -> FileResult:
        options = self._options
        with _unpack(file) as path:
            report = run_video_analysis(
                open_video_file(path, every=options.every, rotate=options.rotate),
                self._get_analyzer("video"),
                options.settings,
                VideoOutputs(every=options.every, keep_crops=options.keep_crops),
                name=file.path,
            )
        taken_at = None if report.info is None else report.info.taken_at
        day = "" if taken_at is None else f"{taken_at:%Y-%m-%d}"
        crops = _select_crops(report.people)
        return FileResult(file, report.to_dict(), day or file.day, crops)

    def _get_analyzer(self, kind: FileKind) -> Analyzer:
        if kind not in self._analyzers:
            options = self._options
            name = options.image_analyzer
            if kind == "video":
                name = options.video_analyzer
            analyzer = load_analyzer(name, options.classifier, refine=options.refine)
            self._analyzers[kind] = apply_tiling(analyzer, options.tiling)
        return self._analyzers[kind]


def _select_crops(people: Sequence[Person]) -> dict[int, bytes]:
    """Return the crops of those people whom a contact sheet may show."""
    candidates = [person for person in people if person.crop]
    candidates.sort(key=lambda person: (person.label is Label.MASK, -person.confidence))
    unsure = sorted(candidates, key=lambda person: person.confidence)
    half = MAX_CROPS_PER_VIDEO // 2
    return {
        person.track_id: person.crop for person in [*candidates[:half], *unsure[:half]]
    }


@contextlib.contextmanager
def _unpack(file: BatchFile) -> Iterator[Path]:
    """Yield the path of a video, which is unpacked if it is in a zip."""
    if not file.member:
        yield Path(file.absolute_path)
        return
    archive = _open_zip(file.absolute_path, file.modified_ns)
    content = archive.read(file.member, _MAX_ZIPPED_VIDEO_BYTES)
    suffix = Path(file.member).suffix
    with tempfile.TemporaryDirectory(prefix="maskdet-") as folder:
        path = Path(folder, f"video{suffix}")
        path.write_bytes(content)
        del content
        yield path


def read_source(path: str, member: str, modified_ns: int) -> str | bytes:
    """Return what `decode_image` takes for a file: its path, or its content in a zip.

    Args:
        path: path of the file or zip, in a zip with or without `member` at its end.
        member: name in the zip, or empty.
        modified_ns: time of the last change of the zip.

    Raises:
        OSError, ValueError: the zip cannot be read.
    """
    if not member:
        return path
    zip_path = path.removesuffix(f"/{member}")
    return _open_zip(zip_path, modified_ns).read(member, MAX_BYTES)


@lru_cache(maxsize=4)
def _open_zip(path: str, modified_ns: int) -> ZipFiles:
    """Open a zip; its directory is read once by each process, until it changes."""
    return ZipFiles(Path(path), ZIP_LIMITS)


def _measure_cpu_s() -> float:
    """Return the processor time of this process and its decoders, in seconds."""
    times = os.times()
    own_s = times.user + times.system
    return own_s + times.children_user + times.children_system
