"""High-level functions: analyze an image, a video or a stream; evaluate a data set."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import lru_cache
from pathlib import Path

from maskdet.analyzers.pipelines import (
    AUTO,
    Analyzer,
    analyze_decoded,
    load_analyzer,
    network_path,
    own_network_name,
    resolve_analyzer,
)
from maskdet.classifier import (
    BUILT_IN_CLASSIFIERS,
    DEFAULT_CLASSIFIER,
    classifier_path,
)
from maskdet.datasets import Example, Issues, read_dataset
from maskdet.evaluation import DetectionReport, evaluate_detection
from maskdet.media import decode_image, open_video
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Image, Scene
from maskdet.video import VideoOutputs, VideoProgress, VideoReport, run_video_analysis


def analyze(
    image: Image | str | Path | bytes,
    settings: Settings | None = None,
    *,
    analyzer: str | Analyzer | None = None,
    classifier: str | None = None,
) -> Scene:
    """Detect the faces of an image and classify their masks.

    Examples:
        >>> scene = maskdet.analyze("group.jpg")
        >>> scene
        <Scene: 7 faces (2 no_mask, 3 mask, 2 incorrect)>
        >>> [face.label.title for face in scene][:3]
        ['No mask', 'No mask', 'Mask']

    Args:
        image: path of an image file, see `read_image`; its bytes; or an array
            `(h, w, 3)` uint8 in BGR order, or `(h, w)` uint8 for grey. A JPEG file
            may have up to 204 megapixels; above 51, it is analyzed at half its width
            and height.
        settings: thresholds; by default `Settings()`. `Settings.permissive()` keeps
            every candidate.
        analyzer: a name in `ANALYZERS` or an analyzer; by default `onepass`. A named
            analyzer is loaded at the first call and cached.
        classifier: a name in `CLASSIFIERS` or the path of a `.tflite` file. Any but
            the default classifies every face, see `load_analyzer`.

    Returns:
        The scene; boxes are in pixels of the upright image in its full size.

    Raises:
        FileNotFoundError: the image or a model file does not exist.
        ImageReadError: the file cannot be read as an image.
        TypeError: `image` has another type.
        ValueError: the array is empty or has another shape, or the analyzer is
            unknown.
    """
    loaded_analyzer = _get_analyzer(analyzer, classifier, live=False)
    return analyze_decoded(loaded_analyzer, decode_image(image), settings or Settings())


def analyze_video(
    source: int | str | Path,
    out: str | Path | None = None,
    settings: Settings | None = None,
    *,
    analyzer: str | Analyzer | None = None,
    classifier: str | None = None,
    every: int = 1,
    rotate: int = 0,
    style: Style = DEFAULT_STYLE,
    progress: bool | Callable[[VideoProgress], None] = False,
) -> VideoReport:
    """Analyze a whole video and optionally write an annotated copy.

    Examples:
        >>> report = maskdet.analyze_video("lobby.mp4", out="marked.mp4", every=2)
        >>> [(person.track_id, person.label.title) for person in report.people]
        [(1, 'Incorrect'), (2, 'No mask'), (3, 'Mask')]

    A camera or stream is analyzed until it ends or the program is stopped. Memory use
    does not grow with the length of the video.

    Args:
        source: file, camera number or stream URL, as for `open_video`.
        out: path of the annotated video, ending in .mp4; by default none is written.
        settings: thresholds; by default `Settings()`.
        analyzer: a name in `ANALYZERS` or an analyzer; by default `onepass-fast`.
        classifier: as for `analyze`.
        every: analyze and write only every n-th frame.
        rotate: 0, 90, 180 or 270; rotate each frame clockwise by this many degrees,
            for example for a camera mounted upside down. All results refer to the
            rotated frame.
        style: how the copy is annotated, for example `Style(blur=True)`.
        progress: True shows a progress bar on stderr; a function is called with a
            `VideoProgress` about ten times a second.

    Returns:
        People, timeline, contacts and events. A truncated video gives the results up
        to its last readable frame, with its `error` and `is_complete` False.

    Raises:
        FileNotFoundError: the file does not exist.
        VideoReadError: the source cannot be opened as a video.
        OSError: the annotated copy cannot be written.
        ValueError: an argument is out of range.
    """
    outputs = VideoOutputs(
        style=style, out=None if out is None else Path(out), every=every
    )
    loaded_analyzer = _get_analyzer(analyzer, classifier, live=True)
    with ExitStack() as exit_stack:
        frames = exit_stack.enter_context(
            closing(open_video(source, every=every, rotate=rotate))
        )
        if progress is True:
            progress = exit_stack.enter_context(_show_progress_bar(source))
        return run_video_analysis(
            frames,
            loaded_analyzer,
            settings or Settings(),
            outputs,
            name=str(source),
            on_progress=progress or None,
        )


def stream(
    source: int | str | Path = 0,
    settings: Settings | None = None,
    *,
    analyzer: str | Analyzer | None = None,
    classifier: str | None = None,
    every: int = 1,
    rotate: int = 0,
) -> Iterator[tuple[Image, Scene]]:
    """Yield each frame of a camera or video with its scene; people are tracked.

    Examples:
        >>> for image, scene in maskdet.stream("lobby.mp4", every=25):
        ...     annotated = maskdet.draw(image, scene)
        ...     if scene.time_s > 4:
        ...         break
        >>> sorted(face.track_id for face in scene)
        [1, 2, 3]

    The source is opened at the first step and closed when the loop ends.

    Args:
        source: file, camera number or stream URL, as for `open_video`.
        settings: thresholds; by default `Settings()`.
        analyzer: a name in `ANALYZERS` or an analyzer; by default `onepass-fast`.
        classifier: as for `analyze`.
        every: yield only every n-th frame.
        rotate: 0, 90, 180 or 270; rotate each frame clockwise by this many degrees.

    Yields:
        The frame, `(h, w, 3)` uint8 BGR, and its `Scene` with `time_s`, `track_ids`,
        `pairs`, `positions`, `contacts` and `removed_ids`.

    Raises:
        FileNotFoundError: the file does not exist.
        VideoReadError: the source has no frames, or reading failed part way.
    """
    frame_stream = Stream(_get_analyzer(analyzer, classifier, live=True), settings)
    with closing(open_video(source, every=every, rotate=rotate)) as frames:
        for image, time_s in frames:
            yield image, frame_stream.step(image, time_s)


def evaluate(
    dataset: str | Path | Iterable[Example],
    *,
    analyzer: str | Analyzer | None = None,
    classifier: str | None = None,
    settings: Settings | None = None,
) -> DetectionReport:
    """Evaluate an analyzer on labelled images.

    Examples:
        >>> report = maskdet.evaluate("scenes.json", analyzer="onepass")
        >>> print(report.ap["faces"])  # value, 95 % interval, number of faces
        1.000 [1.000, 1.000] n=7

    Args:
        dataset: path of a data set with boxes (COCO, Pascal VOC or YOLO), or examples
            from `maskdet.datasets.read_dataset`. Doubtful annotations give a warning,
            invalid ones an error.
        analyzer: a name in `ANALYZERS` or an analyzer; by default `onepass`.
        classifier: as for `analyze`.
        settings: thresholds of precision, recall and the classes; average precision
            uses every detection. By default `Settings()`.

    Returns:
        Average precision of faces and of each class with 95 % intervals, recall,
        precision, and the classes of the detected faces.

    Raises:
        FileNotFoundError: the data set or one of its images does not exist.
        ValueError: it is not a data set, or no image has boxes.
    """
    prefix = ""
    issues = Issues()
    if isinstance(dataset, str | Path):
        prefix = f"{dataset}: "
        examples = read_dataset(dataset, issues=issues)
    else:
        examples = list(dataset)
    for note in issues.notes():
        warnings.warn(f"{dataset}: {note}", stacklevel=2)
    examples_with_boxes = [example for example in examples if not example.is_crop]
    if not examples_with_boxes:
        raise ValueError(
            f"{prefix}evaluate needs images with boxes (COCO, Pascal VOC or YOLO); "
            f"none of the {len(examples)} images has boxes"
        )
    loaded_analyzer = _get_analyzer(analyzer, classifier, live=False)
    return evaluate_detection(
        loaded_analyzer, examples_with_boxes, settings or Settings()
    )


@contextmanager
def _show_progress_bar(
    source: int | str | Path,
) -> Iterator[Callable[[VideoProgress], None]]:
    """Show a progress bar on stderr; it counts frames where the length is unknown."""
    from tqdm import tqdm

    with tqdm(desc=Path(str(source)).name, file=sys.stderr, leave=False) as bar:

        def update_bar(progress: VideoProgress) -> None:
            n = progress.n_frames
            if progress.fraction_done > 0:
                bar.total = max(n, round(n / progress.fraction_done))
            bar.update(n - bar.n)

        yield update_bar


def _get_analyzer(
    analyzer: str | Analyzer | None, classifier: str | None, *, live: bool
) -> Analyzer:
    """Return the given analyzer, or load and cache the named one."""
    if analyzer is None or isinstance(analyzer, str):
        name = resolve_analyzer(analyzer or AUTO, live=live)
        classifier = classifier or DEFAULT_CLASSIFIER
        return _load_cached(name, classifier, _modification_times(name, classifier))
    if not callable(getattr(analyzer, "analyze", None)):
        raise TypeError(
            "analyzer must be a name or an object with analyze(image, settings), not "
            f"{type(analyzer).__name__}; wrap a detector in maskdet.TwoStage(detector)"
        )
    if classifier is not None:
        raise ValueError(
            f"classifier {classifier!r} can only be combined with an analyzer name, "
            f"not with a {type(analyzer).__name__}; pass the classifier to its "
            "constructor"
        )
    return analyzer


def _modification_times(name: str, classifier: str) -> tuple[int, ...]:
    """Return the modification times of the user's model files, as a cache key."""
    paths = []
    if classifier not in BUILT_IN_CLASSIFIERS:
        paths.append(classifier_path(classifier))
    if own_network_name(name) is not None:
        paths.append(network_path(name))
    return tuple(path.stat().st_mtime_ns for path in paths)


@lru_cache(maxsize=8)
def _load_cached(name: str, classifier: str, modified_ns: tuple[int, ...]) -> Analyzer:
    return load_analyzer(name, classifier)
