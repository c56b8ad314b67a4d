"""Weights for tests: stand-ins always, published files if they are present."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE, MODEL_FILES, model_path
from tests.helpers.fake_networks import aizoo, centerface, ssd, yunet

STAND_IN, PUBLISHED = "stand-in", "published"

DATA_DIR_VARIABLE = "MASKDET_DATA_DIR"
"""Environment variable that names a folder of labelled images, for tests only."""


def is_present(name: str) -> bool:
    """Return whether the published file of this name and its companions are present."""
    try:
        for file in (name, *MODEL_FILES[name].requires):
            model_path(file)
    except FileNotFoundError:
        return False
    return True


def available_kinds(name: str) -> list[str]:
    """Return which weights a test can run: the stand-in, the published if present.

    Missing ones are reported once, by the skips of `test_assets.py`.
    """
    return [STAND_IN, PUBLISHED] if is_present(name) else [STAND_IN]


def marks_of(kind: str) -> tuple[pytest.MarkDecorator, ...]:
    """Return the marks of a test that runs such weights."""
    return (pytest.mark.weights,) if kind == PUBLISHED else ()


def parametrize_kinds(name: str) -> pytest.MarkDecorator:
    """Run a test once for each of `available_kinds(name)`, as its argument `kind`."""
    rows = [pytest.param(kind, marks=marks_of(kind)) for kind in available_kinds(name)]
    return pytest.mark.parametrize("kind", rows)


@contextmanager
def use_weights(kind: str) -> Iterator[None]:
    """Let maskdet load weights of this kind; loaded networks stay usable afterwards."""
    with use_stand_ins() if kind == STAND_IN else nullcontext():
        yield


@contextmanager
def use_stand_ins() -> Iterator[None]:
    """Put the stand-ins in the place of the published files.

    maskdet finds and checks them in the usual way: in the folder that the environment
    variable names, by the name and sha256 of their row in `MODEL_FILES`.
    """
    contents = {
        "yunet": yunet.make_onnx(),
        "centerface": centerface.make_onnx(),
        "ssd": ssd.make_graph_weights(),
        "ssd-graph": ssd.make_graph_text().encode(),
        "aizoo": aizoo.make_caffemodel(),
        "aizoo-graph": aizoo.make_prototxt().encode(),
    }
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name, content in contents.items():
            (Path(folder) / MODEL_FILES[name].file_name).write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            row = replace(MODEL_FILES[name], sha256=sha256, n_bytes=len(content))
            patch.setitem(MODEL_FILES, name, row)
        patch.setenv(MODEL_DIR_VARIABLE, folder)
        yield


def find_extra_file(variable: str, relative_path: str) -> Path:
    """Return a file in the folder that an environment variable names, or skip.

    Args:
        variable: `MODEL_DIR_VARIABLE` or `DATA_DIR_VARIABLE`.
        relative_path: of the file, in that folder.
    """
    path = Path(os.environ.get(variable, "")) / relative_path
    if not os.environ.get(variable) or not path.is_file():
        pytest.skip(f"needs {relative_path} in the folder that {variable} names")
    return path
