"""The direction of imports between folders, and what `import maskdet` loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskdet.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "maskdet"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Levels of the modules and folders of `maskdet/`, lowest first. A module may import
# only from its own folder and from lower levels. docs/architecture.md shows them.
LEVELS: tuple[frozenset[str], ...] = (
    frozenset(
        {
            *("atomic_file", "boxes", "extras", "http_session"),
            *("log_filter", "resources", "threads", "validation", "wording"),
        },
    ),
    frozenset({"html_templates", "settings"}),
    frozenset({"types"}),
    frozenset({"media", "model_files", "style", "synthetic"}),
    frozenset({"classifier", "datasets", "detectors", "metrics", "results_io"}),
    frozenset({"distance", "people", "smoothing", "tracking"}),
    frozenset({"auto_label", "charts", "drawing"}),
    frozenset({"analyzers"}),
    frozenset({"events", "streaming"}),
    frozenset({"evaluation", "video"}),
    frozenset({"alerts", "api", "batch", "robustness", "tuning"}),
    frozenset({"serving", "training"}),
    frozenset({"http_api", "web"}),
    frozenset({"cli"}),
)
LEVEL = {folder: level for level, folders in enumerate(LEVELS) for folder in folders}


def list_imports(path: Path) -> list[tuple[str, bool]]:
    """Return (dotted name, at module level) of all imports of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            imports += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports.append((node.module, top))
            imports += [(f"{node.module}.{alias.name}", top) for alias in node.names]
    return imports


def folder_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    folder = folder_of(path)
    if folder in {"__init__", "__main__"}:
        return
    assert folder in LEVEL, f"{folder} has no level"
    for name, _ in list_imports(path):
        parts = name.split(".")
        if parts[0] != "maskdet" or len(parts) == 1 or parts[1] not in LEVEL:
            continue
        allowed = parts[1] == folder or LEVEL[parts[1]] < LEVEL[folder]
        assert allowed, f"{folder} must not import {name}"


def test_the_docs_show_the_levels() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    diagram = text.partition("```text\nimports")[2].partition("```")[0]
    rows = [re.findall(r"[a-z_]{2,}", line) for line in diagram.splitlines()]
    assert [frozenset(row) for row in reversed(rows)] == list(LEVELS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_libraries_are_imported_only_in_their_folders(path: Path) -> None:
    file = path.relative_to(PACKAGE).as_posix()
    for name, top in list_imports(path):
        library = name.split(".")[0]
        if library in {"streamlit", "streamlit_webrtc"}:
            assert file.startswith("web/"), f"{file} must not import Streamlit"
        if library in {"tensorflow", "keras", "mtcnn"}:
            training = file.startswith("training/")
            lazily = file == "detectors/mtcnn.py" and not top
            assert training or lazily, f"{file} must not import {library}"
        if library == "ai_edge_litert":
            assert file == "model_files/litert.py", (
                f"{file} must use maskdet.model_files.litert"
            )


# Optional libraries, and libraries that are slow to load.
LAZY_LIBRARIES = (
    "ai_edge_litert av defusedxml jinja2 joblib keras lz4 matplotlib mtcnn onnx "
    "onnxruntime paho pandas PIL psycopg pyarrow pydantic ray requests scipy sklearn "
    "sqlalchemy streamlit streamlit_webrtc tensorflow tqdm vl_convert yaml"
)


@pytest.mark.parametrize(
    "module",
    ["maskdet", "maskdet.cli", *(f"maskdet.cli.{name}" for name in COMMANDS)],
)
def test_an_import_loads_no_library_that_can_wait(module: str) -> None:
    code = (
        f"import sys, {module}; "
        f"print(*[name for name in '{LAZY_LIBRARIES}'.split() if name in sys.modules])"
    )
    assert run_python(code).split() == []


def test_importing_maskdet_takes_at_most_three_times_as_long_as_its_libraries() -> None:
    # Processor time beside that of two libraries which it needs, so that a slow or busy
    # machine does not matter; the best of three, as the first reads files.
    code = (
        "from time import process_time as now; begin = now(); import cv2, numpy; "
        "middle = now(); import maskdet; print((now() - middle) / (middle - begin))"
    )
    assert min(float(run_python(code)) for _ in range(3)) < 3


def run_python(code: str) -> str:
    """Return the output of a new Python process."""
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_every_public_name_can_be_imported() -> None:
    import maskdet

    assert len(maskdet.__all__) > 15
    for name in maskdet.__all__:
        assert getattr(maskdet, name) is not None
