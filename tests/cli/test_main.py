from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maskdet.cli import COMMANDS, detect, main

ROOT = Path(__file__).resolve().parents[2]


HELP = [
    "",
    *COMMANDS,
    "evaluate scenes",
    "evaluate faces",
    "events list",
    "events delete",
    "tune settings",
    "tune scores",
]


@pytest.mark.parametrize("command", HELP)
def test_help_of_every_command(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr()
    assert f"usage: maskdet {command}".strip() in shown.out
    assert shown.err == ""


def test_the_help_lists_every_command_with_its_own_words(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert f"{name} " in listed
        assert line in " ".join(listed.split())


@pytest.mark.parametrize(
    "words", [[], ["frobnicate"], ["detect"], ["detect", "a.jpg", "--min-score", "x"]]
)
def test_a_usage_error_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "usage: maskdet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("min_score must be a number"), 1, "min_score must be a number"),
        (FileNotFoundError("use: models fetch x"), 1, "use: models fetch x"),
        (FileNotFoundError(2, "No such file", "a.json"), 1, "a.json: no such file"),
        (PermissionError(13, "Permission denied", "o"), 1, "o: permission denied"),
        (RuntimeError("sha256 differs"), 1, "sha256 differs"),
        (ValueError("one\nline \x1b[31m"), 1, r"one\nline \x1b[31m"),
        (RuntimeError(), 1, "RuntimeError"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_an_error_that_a_user_can_fix_is_one_line(
    error, status, line, monkeypatch, capsys
):
    def fail(args):
        raise error

    monkeypatch.setattr(detect, "run", fail)
    assert main(["detect", "a.jpg"]) == status
    assert capsys.readouterr().err == f"maskdet: {line}\n"


def test_a_bug_is_not_hidden(monkeypatch):
    def fail(args):
        raise TypeError("a bug")

    monkeypatch.setattr(detect, "run", fail)
    with pytest.raises(TypeError, match="a bug"):
        main(["detect", "a.jpg"])


def test_help_loads_no_model_library_and_is_quick():
    code = (
        "import sys, time; from maskdet.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = 'PIL tqdm ai_edge_litert tensorflow keras av sklearn'.split()\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
        "print(time.process_time(), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    loaded, worked_s = done.stderr.splitlines()
    assert loaded == "[]"
    # 0.2 s; time of the processor, so that a busy machine does not count.
    assert float(worked_s) < 2


@pytest.mark.parametrize("characters", [10, 1_000_000])
def test_a_closed_pipe_is_not_an_error(characters):
    code = (
        "import sys; from maskdet.cli import detect, main\n"
        f"detect.run = lambda args: print('x' * {characters}) or 0\n"
        "sys.exit(main(['detect', 'a.jpg']))"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=pipe, stderr=pipe
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
