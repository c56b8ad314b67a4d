"""The whole way with the real default models, over the images that ship."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One run of the command line over every sample, with its copies."""
    out = tmp_path_factory.mktemp("out")
    command = [sys.executable, "-m", "maskdet", "detect", "samples", "--json", "-"]
    finished = subprocess.run(
        [*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout), out


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("portrait-bare.jpg", "no_mask"),
        ("portrait-mask.jpg", "mask"),
        ("portrait-below-nose.jpg", "incorrect"),
    ],
)
def test_the_portraits_get_their_label(done, name, label):
    content, _ = done
    (image,) = [x for x in content["images"] if x["path"] == f"samples/{name}"]
    face = image["faces"][0]
    assert face["label"] == label
    assert face["score"] > 0.5
    assert face["probs"][label] > 0.6
    x1, y1, x2, y2 = face["box"]
    assert 0 <= x1 < x2 <= image["width"]
    assert 0 <= y1 < y2 <= image["height"]
    assert sum(face["probs"].values()) == pytest.approx(1, abs=2e-3)


def test_every_sample_has_its_record_and_its_copy(done):
    content, out = done
    assert content["version"] == 1
    names = sorted(
        path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.jpg")
    )
    assert len(names) >= 4
    assert [image["path"] for image in content["images"]] == [
        f"samples/{name}" for name in names
    ]
    assert all(image["error"] is None for image in content["images"])
    copies = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.jpg"))
    assert copies == names


def test_a_group_has_several_faces(done):
    content, _ = done
    (group,) = [x for x in content["images"] if x["path"] == "samples/group.jpg"]
    assert len(group["faces"]) >= 3
