"""Labelled sets for `maskdet tune`: read, looked at by an analyzer, stored."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from maskdet.analyzer import load_analyzer
from maskdet.cli.choosing import AnalyzerOptions
from maskdet.cli.console import print_line, print_warning, write_file
from maskdet.datasets.class_names import ClassNames, format_classes_hint
from maskdet.datasets.issues import truncate_name
from maskdet.tune.bundled import encode_bundled_file
from maskdet.tune.scored import AnalyzerPredictions
from maskdet.tune.scoring import predict_dataset
from maskdet.tune.sets import (
    ClassesError,
    ImportedDataset,
    ProgressCallback,
    import_dataset,
)


def store_scored_sets(
    sources: Sequence[Path],
    folder: Path,
    options: AnalyzerOptions,
    analyzer_names: Sequence[str] | None,
    classes: ClassNames,
) -> None:
    """Look at sets and store what was found, a file for each set and analyzer.

    Args:
        sources: the sets.
        folder: where to; made if there is none.
        options: the classifier, and the analyzer unless there are `analyzer_names`.
        analyzer_names: the analyzers.
        classes: what the names of classes mean.

    Raises:
        ValueError: a set cannot be read, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder}: is a file, wanted a folder")
    sets = [read_labelled_set(source, classes) for source in sources]
    folder.mkdir(parents=True, exist_ok=True)
    for name in analyzer_names or (options.analyzer,):
        for labelled_set in sets:
            file, content = encode_bundled_file(
                score_labelled_set(labelled_set, options, name)
            )
            write_file(folder / file, content)
            print_line(f"wrote {folder / file}, {len(content) / 1000:.0f} kB")


def read_labelled_set(source: Path, classes: ClassNames) -> ImportedDataset:
    """Return a labelled set; what was left out of it is told on stderr.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it cannot be read, or no class is known.
    """
    try:
        with _show_image_progress(f"reading {source.name}") as progress:
            labelled_set = import_dataset(
                source, source.stem, classes=classes, progress=progress
            )
    except ClassesError as error:
        hint = (
            _format_class_hint(error.name_counts, classes)
            if "--classes" not in str(error)
            else ""
        )
        raise ValueError(f"{error}; {hint}" if hint else str(error)) from None
    for note in labelled_set.notes:
        print_warning(f"{source}: {note}")
    if hint := _format_class_hint(labelled_set.class_word_counts, classes):
        print_warning(f"{source}: unknown class: {hint}")
    return labelled_set


def _format_class_hint(class_words: Iterable[str], classes: ClassNames) -> str:
    unknown = [
        truncate_name(class_word)
        for class_word in class_words
        if not classes.target(class_word)
    ]
    return format_classes_hint(unknown) if unknown else ""


def score_labelled_set(
    labelled_set: ImportedDataset, options: AnalyzerOptions, name: str
) -> AnalyzerPredictions:
    """Return all that an analyzer finds in a set."""
    analyzer = load_analyzer(name, options.classifier, refine=options.refine)
    if name == options.analyzer:
        options.print_notices()
    with _show_image_progress(
        f"{name} on {labelled_set.ground_truth.name}"
    ) as progress:
        return predict_dataset(labelled_set, analyzer, name, progress=progress)


@contextlib.contextmanager
def _show_image_progress(title: str) -> Iterator[ProgressCallback | None]:
    """Show how far it is, on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=title, unit=" picture", leave=False, file=sys.stderr) as bar:

        def update_bar(n_done: int, n: int) -> None:
            bar.total = n
            bar.update(n_done - bar.n)

        yield update_bar
