"""Labelled sets for `maskdet tune`: read, looked at by an analyzer, stored."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from maskdet.analyzer import load_analyzer
from maskdet.cli.choosing import Choice
from maskdet.cli.console import complain, say, write_file
from maskdet.datasets.class_names import ClassNames, suggest_classes
from maskdet.datasets.issues import shortened
from maskdet.tune.bundled import bundle_file
from maskdet.tune.scored import Scored
from maskdet.tune.scoring import score_set
from maskdet.tune.sets import ClassesError, Loaded, Progress, read_set


def store(
    sources: Sequence[Path],
    folder: Path,
    choice: Choice,
    names: Sequence[str] | None,
    classes: ClassNames,
) -> None:
    """Look at sets and store what was found, a file for each set and analyzer.

    Args:
        sources: the sets.
        folder: where to; made if there is none.
        choice: the classifier, and the analyzer unless there are `names`.
        names: the analyzers.
        classes: what the names of classes mean.

    Raises:
        ValueError: a set cannot be read, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder}: is a file, wanted a folder")
    sets = [read(source, classes) for source in sources]
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or (choice.analyzer,):
        for loaded in sets:
            file, content = bundle_file(look(loaded, choice, name))
            write_file(folder / file, content)
            say(f"wrote {folder / file}, {len(content) / 1000:.0f} kB")


def read(source: Path, classes: ClassNames) -> Loaded:
    """Return a labelled set; what was left out of it is told on stderr.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it cannot be read, or no class is known.
    """
    try:
        with _bar(f"reading {source.name}") as progress:
            loaded = read_set(source, source.stem, classes=classes, progress=progress)
    except ClassesError as error:
        hint = _hint(error.words, classes) if "--classes" not in str(error) else ""
        raise ValueError(f"{error}; {hint}" if hint else str(error)) from None
    for note in loaded.notes:
        complain(f"{source}: {note}")
    if hint := _hint(loaded.words, classes):
        complain(f"{source}: unknown class: {hint}")
    return loaded


def _hint(words: Iterable[str], classes: ClassNames) -> str:
    unknown = [shortened(word) for word in words if not classes.target(word)]
    return suggest_classes(unknown) if unknown else ""


def look(loaded: Loaded, choice: Choice, name: str) -> Scored:
    """Return all that an analyzer finds in a set."""
    analyzer = load_analyzer(name, choice.classifier, second_look=choice.second_look)
    if name == choice.analyzer:
        choice.tell()
    with _bar(f"{name} on {loaded.truth.name}") as progress:
        return score_set(loaded, analyzer, name, progress=progress)


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Progress | None]:
    """Show how far it is, on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=title, unit=" picture", leave=False, file=sys.stderr) as bar:

        def show(done: int, n: int) -> None:
            bar.total = n
            bar.update(done - bar.n)

        yield show
