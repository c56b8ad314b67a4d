"""The comparison of two checkouts sees every kind of file, and fails without any."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from maskdet.media import write_image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = ROOT / "scripts" / "compare_checkouts.py"
    spec = importlib.util.spec_from_file_location("compare_checkouts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def write_outputs(folder: Path, value: int) -> None:
    folder.mkdir()
    (folder / "a.json").write_text(f'{{"x": {value}, "version": "{value}"}}')
    (folder / "b.csv").write_text(f"x\n{value}\n")
    write_image(folder / "c.png", np.full((4, 4, 3), value, np.uint8))
    (folder / "d.npz").write_bytes(bytes([value]))
    (folder / "e.txt").write_bytes(b"")


@pytest.mark.parametrize(
    ("value", "changed"), [(1, []), (2, ["a.json.x", "b.csv[0].x", "c.png", "d.npz"])]
)
def test_files_of_every_kind_are_compared(
    program: ModuleType, tmp_path: Path, value: int, changed: list[str]
) -> None:
    write_outputs(tmp_path / "before", 1)
    write_outputs(tmp_path / "after", value)
    n_values, lines = program.compare_folders(tmp_path / "before", tmp_path / "after")
    assert n_values == 5
    assert [line.partition(":")[0] for line in lines] == changed


@pytest.mark.parametrize(
    ("values", "status"), [((1, 1), 0), ((1, 2), 1), ((None, None), 1)]
)
def test_exit_status_and_report(
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    values: tuple[int | None, int | None],
    status: int,
) -> None:
    by_folder = dict(zip(("before", "after"), values, strict=True))

    def run_maskdet(
        checkout: Path, words: list[str], out: Path, data: Path | None
    ) -> None:
        value = by_folder[out.name]
        if value is not None:
            (out / "a.json").write_text(f'{{"x": {value}}}')

    monkeypatch.setattr(program, "run_maskdet", run_maskdet)
    monkeypatch.setattr(program, "SAMPLE_COMMANDS", {"detect": ["detect"]})
    report = tmp_path / "report.md"
    monkeypatch.setattr(
        sys, "argv", ["compare_checkouts.py", str(tmp_path), "--report", str(report)]
    )
    assert program.main() == status
    n_values = 0 if values[0] is None else 1
    assert f"| detect | {n_values} | {int(values == (1, 2))} |" in report.read_text()
    assert report.read_text() == capsys.readouterr().out
