"""The checkout is self-contained: no code names a folder beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("maskdet", "pages", "tests", "benchmarks", "scripts", ".streamlit")
FILES = ("app.py", "Makefile", "pyproject.toml")
KINDS = {".py", ".toml", ".sh", ".cfg", ".ini", ""}
# That folder as a part of a path; the word alone is plain English.
BESIDE = re.compile(r"""["'`/ ]\.*/?shared["'`]|\bshared/""")


def list_code_files() -> list[Path]:
    """Return every file that may contain a path."""
    paths = [path for place in PLACES for path in (ROOT / place).rglob("*")]
    files = [path for path in paths if path.is_file() and path.suffix in KINDS]
    return [*files, *(ROOT / name for name in FILES)]


@pytest.mark.parametrize(
    ("line", "is_beside"),
    [
        ('ROOT.parent / "sha' + 'red" / "models"', True),
        ("cp ../sha" + "red/models/x.onnx models", True),
        ("'../sha" + "red'", True),
        ("boxes, shared = match_boxes(boxes)", False),
        ('Path("/dev/shm")  # shared memory', False),
    ],
)
def test_the_search_tells_a_path_from_a_word(line, is_beside):
    assert bool(BESIDE.search(line)) == is_beside


def test_no_code_names_the_folder_beside_the_checkout():
    files = list_code_files()
    assert ROOT / "maskdet" / "model_files" / "model_zoo.py" in files
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if BESIDE.search(line)
    ]
    assert lines == []
