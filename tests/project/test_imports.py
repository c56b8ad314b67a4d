"""The rooms of the house: who may import whom, and what a bare import may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from maskdet.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "maskdet"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Lower rooms never import from higher ones (DESIGN: arrows point one way).
LEVELS: tuple[frozenset[str], ...] = (
    frozenset(
        {"atomic_file", "boxes", "extras", "resources", "settings", "wording"},
    ),
    frozenset({"types"}),
    frozenset({"litert", "media", "model_zoo", "style", "synthetic"}),
    frozenset({"own_models"}),
    frozenset(
        {"classifier", "datasets", "detectors", "drawing", "metrics", "results_io"}
    ),
    frozenset({"distance", "smoothing", "tracking"}),
    frozenset({"auto_label", "charts"}),
    frozenset({"analyzers"}),
    frozenset({"events", "streaming"}),
    frozenset({"evaluation", "video"}),
    frozenset({"alerts", "api", "robustness", "tuning"}),
    frozenset({"training"}),
    frozenset({"web"}),
    frozenset({"cli"}),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def imported(path: Path) -> list[tuple[str, bool]]:
    """Return (dotted name, at module level) of everything that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            found += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, top))
            found += [(f"{node.module}.{alias.name}", top) for alias in node.names]
    return found


def room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_one_way(path: Path) -> None:
    here = room(path)
    if here in {"__init__", "__main__"}:
        return
    assert here in LEVEL, f"{here} has no place in the table of rooms"
    for name, _ in imported(path):
        parts = name.split(".")
        if parts[0] != "maskdet" or len(parts) == 1 or parts[1] not in LEVEL:
            continue
        allowed = parts[1] == here or LEVEL[parts[1]] < LEVEL[here]
        assert allowed, f"{here} must not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    here = path.relative_to(PACKAGE).as_posix()
    for name, top in imported(path):
        library = name.split(".")[0]
        if library in {"streamlit", "streamlit_webrtc"}:
            assert here.startswith("web/"), f"{here} must not import Streamlit"
        if library in {"tensorflow", "keras", "mtcnn"}:
            training = here.startswith("training/")
            lazily = here == "detectors/mtcnn.py" and not top
            assert training or lazily, f"{here} must not import {library}"
        if library == "ai_edge_litert":
            assert here == "litert.py", f"{here} must open networks with maskdet.litert"


# What the base of the package does without, and what is slow to load.
LATE = (
    "ai_edge_litert altair av defusedxml joblib keras lz4 matplotlib mtcnn onnx "
    "onnxruntime paho pandas PIL psycopg sklearn sqlalchemy streamlit streamlit_webrtc "
    "tensorflow tqdm vl_convert yaml"
)


@pytest.mark.parametrize(
    "module",
    ["maskdet", "maskdet.cli", *(f"maskdet.cli.{name}" for name in COMMANDS)],
)
def test_an_import_loads_no_library_before_it_is_needed(module: str) -> None:
    code = (
        f"import sys, {module}; "
        f"print(*[name for name in '{LATE}'.split() if name in sys.modules])"
    )
    assert run(code).split() == []


def test_a_bare_import_takes_less_than_half_a_second() -> None:
    code = (
        "from time import process_time as now; begin = now(); import maskdet; "
        "print(now() - begin)"
    )
    # Time of the processor, so that a busy machine does not count; the shortest of
    # some, since files may be read for the first time.
    assert min(float(run(code)) for _ in range(3)) < 0.5


def run(code: str) -> str:
    """Return what a new Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_public_name_can_be_imported() -> None:
    import maskdet

    assert len(maskdet.__all__) > 15
    for name in maskdet.__all__:
        assert getattr(maskdet, name) is not None
