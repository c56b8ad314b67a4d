"""Which weights a test runs: stand-ins always, published ones if they are present."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from maskdet.assets import ASSETS, MODEL_DIR_VARIABLE, asset_path
from tests.stand_ins import aizoo, ssd, yunet

STAND_IN, PUBLISHED = "stand-in", "published"

DATA_DIR_VARIABLE = "MASKDET_DATA_DIR"
"""Environment variable that names a folder of labelled images, for tests only."""


def at_hand(name: str) -> bool:
    """Return whether the published file of this name and its companions are present."""
    try:
        for file in (name, *ASSETS[name].also):
            asset_path(file)
    except FileNotFoundError:
        return False
    return True


def kinds(name: str) -> list[str]:
    """Return which weights a test can run: the stand-in, the published if present.

    Missing ones are reported once, by the skips of `test_assets.py`.
    """
    return [STAND_IN, PUBLISHED] if at_hand(name) else [STAND_IN]


def marks_of(kind: str) -> tuple[pytest.MarkDecorator, ...]:
    """Return the marks of a test that runs such weights."""
    return (pytest.mark.weights,) if kind == PUBLISHED else ()


def with_kinds(name: str) -> pytest.MarkDecorator:
    """Run a test once for each of `kinds(name)`, as its argument `kind`."""
    rows = [pytest.param(kind, marks=marks_of(kind)) for kind in kinds(name)]
    return pytest.mark.parametrize("kind", rows)


@contextmanager
def weights(kind: str) -> Iterator[None]:
    """Let maskdet load weights of this kind; loaded networks stay usable afterwards."""
    with stand_ins() if kind == STAND_IN else nullcontext():
        yield


@contextmanager
def stand_ins() -> Iterator[None]:
    """Put the stand-ins in the place of the published files.

    maskdet finds and checks them in the usual way: in the folder that the environment
    variable names, by the name and sha256 of their row in `ASSETS`.
    """
    contents = {
        "yunet": yunet.weights(),
        "ssd": ssd.weights(),
        "ssd-graph": ssd.graph().encode(),
        "aizoo": aizoo.weights(),
        "aizoo-graph": aizoo.graph().encode(),
    }
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name, content in contents.items():
            (Path(folder) / ASSETS[name].file_name).write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            row = replace(ASSETS[name], sha256=sha256, n_bytes=len(content))
            patch.setitem(ASSETS, name, row)
        patch.setenv(MODEL_DIR_VARIABLE, folder)
        yield


def extra_file(variable: str, place: str) -> Path:
    """Return a file in the folder that an environment variable names, or skip.

    Args:
        variable: `MODEL_DIR_VARIABLE` or `DATA_DIR_VARIABLE`.
        place: of the file, in that folder.
    """
    path = Path(os.environ.get(variable, "")) / place
    if not os.environ.get(variable) or not path.is_file():
        pytest.skip(f"needs {place} in the folder that {variable} names")
    return path
