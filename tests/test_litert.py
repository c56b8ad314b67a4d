"""The runtime of the networks says nothing on stderr, and swallows nothing there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskdet import litert

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "models" / "tutorial.tflite"

RAW = """
from ai_edge_litert.interpreter import Interpreter
network = Interpreter(model_path={model!r})
network.allocate_tensors()
"""

OURS = """
import os, sys
from pathlib import Path
from maskdet import litert

class Talking(litert.Interpreter):
    def allocate_tensors(self):
        os.write(2, b"one\\n")
        print("two", file=sys.stderr)
        super().allocate_tensors()
        os.write(2, b"three")

litert.QuietInterpreter.__bases__ = (Talking,)
for _ in range(2):
    network = litert.open_interpreter(Path({model!r}), "network", threads=1)
    network.allocate_tensors()
    network.invoke()
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository."""
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )


def test_a_command_says_nothing_on_stderr() -> None:
    done = run("-m", "maskdet", "detect", "samples/group.jpg")
    assert done.stderr == ""
    assert "samples/group.jpg" in done.stdout


def test_without_us_the_runtime_says_one_line() -> None:
    said = run("-c", RAW.format(model=str(MODEL))).stderr
    assert said.encode().strip() == litert._DELEGATE_MESSAGE


def test_only_that_line_is_kept_off_stderr() -> None:
    said = run("-c", OURS.format(model=str(MODEL))).stderr
    assert said == "one\ntwo\nthree" * 2


def test_a_process_without_stderr_runs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(litert, "_is_message_printed", False)
    monkeypatch.setattr(os, "dup", closed)
    network = litert.open_interpreter(MODEL, "network", threads=1)
    network.allocate_tensors()
    network.invoke()
    assert litert._is_message_printed


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    with pytest.raises(FileNotFoundError, match=r"network file .*a\.tflite is missing"):
        litert.open_interpreter(path, "network", threads=1)
    path.write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match=r"a\.tflite is no LiteRT network"):
        litert.open_interpreter(path, "network", threads=1)
