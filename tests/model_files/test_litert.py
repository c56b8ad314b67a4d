"""Tests that the LiteRT log line is removed from stderr, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskdet.model_files import litert
from maskdet.threads import N_THREADS, use_threads

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "tutorial.tflite"

RAW_PROGRAM = """
from ai_edge_litert.interpreter import Interpreter
network = Interpreter(model_path={model!r})
network.allocate_tensors()
"""

QUIET_PROGRAM = """
import os, sys
from pathlib import Path
from maskdet.model_files import litert

class LoggingInterpreter(litert.Interpreter):
    def allocate_tensors(self):
        os.write(2, b"one\\n")
        print("two", file=sys.stderr)
        super().allocate_tensors()
        os.write(2, b"three")

litert.QuietInterpreter.__bases__ = (LoggingInterpreter,)
for _ in range(2):
    network = litert.open_interpreter(Path({model!r}), "network", threads=1)
    network.allocate_tensors()
    network.invoke()
"""


def run_python(*words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository."""
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )


def test_a_command_prints_nothing_to_stderr() -> None:
    completed = run_python("-m", "maskdet", "detect", "samples/group.jpg")
    assert completed.stderr == ""
    assert "samples/group.jpg" in completed.stdout


def test_the_runtime_alone_prints_one_line() -> None:
    stderr = run_python("-c", RAW_PROGRAM.format(model=str(MODEL))).stderr
    assert stderr.encode().strip() == litert._DELEGATE_MESSAGE


def test_only_that_line_is_removed_from_stderr() -> None:
    stderr = run_python("-c", QUIET_PROGRAM.format(model=str(MODEL))).stderr
    assert stderr == "one\ntwo\nthree" * 2


def test_a_process_without_stderr_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_bad_descriptor(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(litert, "_is_message_printed", False)
    monkeypatch.setattr(os, "dup", raise_bad_descriptor)
    network = litert.open_interpreter(MODEL, "network", threads=1)
    network.allocate_tensors()
    network.invoke()
    assert litert._is_message_printed


def test_a_file_that_is_not_a_model_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    with pytest.raises(FileNotFoundError, match=r"network file .*a\.tflite does not"):
        litert.open_interpreter(path, "network", threads=1)
    path.write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match=r"a\.tflite is not a LiteRT model"):
        litert.open_interpreter(path, "network", threads=1)


def test_interpreters_have_the_threads_of_the_context(monkeypatch) -> None:
    n_threads = []
    monkeypatch.setattr(
        litert,
        "QuietInterpreter",
        lambda model_path, num_threads: n_threads.append(num_threads),
    )
    with use_threads(5):
        litert.open_interpreter(MODEL, "network")
        litert.open_interpreter(MODEL, "network", threads=3)
    litert.open_interpreter(MODEL, "network")
    assert n_threads == [5, 3, N_THREADS]


def test_an_input_is_overwritten_after_the_call_and_the_output_is_not() -> None:
    network = litert.open_interpreter(MODEL, "classifier")
    network.allocate_tensors()
    (details,) = network.get_input_details()
    output = network.get_output_details()[0]["index"]
    network.set_tensor(details["index"], np.full(details["shape"], 42, np.float32))
    plain = litert.Interpreter(str(MODEL))
    plain.allocate_tensors()
    plain.set_tensor(details["index"], np.full(details["shape"], 42, np.float32))
    network.invoke()
    plain.invoke()
    assert not network.get_tensor(details["index"]).any()
    np.testing.assert_array_equal(network.get_tensor(output), plain.get_tensor(output))
