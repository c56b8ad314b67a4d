"""The bundled samples: files, sizes, credits and the script that makes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskdet.media import read_image
from maskdet.web.widgets import IMAGE_SAMPLES, Sample

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("sample", IMAGE_SAMPLES, ids=lambda sample: sample.title)
def test_a_sample_is_small_and_credited(sample: Sample) -> None:
    assert sample.path.parent == ROOT / "samples"
    assert sample.path.stat().st_size <= 200_000
    assert min(read_image(sample.path).shape[:2]) >= 400
    credits_text = (ROOT / "samples" / "CREDITS.md").read_text(encoding="utf-8")
    assert f"`{sample.path.name}`" in credits_text
    assert "public domain" in sample.credit


def test_every_image_of_the_folder_is_offered_once() -> None:
    offered = [sample.path.name for sample in IMAGE_SAMPLES]
    assert sorted(offered) == sorted(p.name for p in (ROOT / "samples").glob("*.jpg"))
    assert len({sample.title for sample in IMAGE_SAMPLES}) == len(IMAGE_SAMPLES)


def test_samples_are_found_from_any_working_directory(tmp_path: Path) -> None:
    code = (
        "from maskdet.web.widgets import IMAGE_SAMPLES; "
        "print(all(sample.path.is_file() for sample in IMAGE_SAMPLES))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "True"


def test_the_script_makes_the_same_images(tmp_path: Path) -> None:
    """Pixels may differ a little between versions of the libraries."""
    subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make_samples.py"), "--out", tmp_path],
        check=True,
        capture_output=True,
    )
    for sample in IMAGE_SAMPLES:
        made = read_image(tmp_path / sample.path.name).astype(int)
        kept = read_image(sample.path).astype(int)
        assert made.shape == kept.shape
        assert np.abs(made - kept).mean() < 2
