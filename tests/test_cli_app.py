"""`maskdet app`: which settings Streamlit starts with, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maskdet import __version__
from maskdet.cli import main
from maskdet.resources import resource_path
from tests.servers import free_port, is_healthy
from tests.waiting import WAIT_S, wait_until

ROOT = Path(__file__).resolve().parents[1]

# Stops where Streamlit would serve, and prints the options in force there.
ASKING = """
import json, sys
from streamlit import config
from streamlit.web import bootstrap
from maskdet.cli import main

def run(path, *_):
    print(json.dumps({name: config.get_option(name) for name in sys.argv[1].split()}
        | {"path": path}))

bootstrap.run = run
sys.exit(main(["app", *sys.argv[2:]]))
"""


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Return a function that says which options of Streamlit a command leads to."""
    home, folder = tmp_path / "home", tmp_path / "folder"
    for one in (home, folder):
        (one / ".streamlit").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for name in [name for name in os.environ if name.startswith("STREAMLIT_")]:
        monkeypatch.delenv(name)

    def asked(names: str, *words: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-c", ASKING, names, *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        found: dict[str, object] = json.loads(done.stdout)
        assert found.pop("path") == str(resource_path("app.py"))
        return found

    return asked


def set_option(folder: Path, text: str) -> None:
    (folder / ".streamlit" / "config.toml").write_text(text)


def test_our_settings_hold_in_any_folder(options) -> None:
    names = "server.maxUploadSize client.toolbarMode browser.gatherUsageStats"
    assert options(f"{names} server.address server.port") == {
        "server.maxUploadSize": 400,
        "client.toolbarMode": "viewer",
        "browser.gatherUsageStats": False,
        "server.address": "localhost",
        "server.port": 8501,
    }


def test_what_is_asked_for_wins(options, monkeypatch) -> None:
    monkeypatch.setenv("STREAMLIT_SERVER_PORT", "8600")
    monkeypatch.setenv("STREAMLIT_SERVER_HEADLESS", "true")
    words = ("--port", "8700", "--address", "0.0.0.0", "--browser")
    assert options("server.port server.address server.headless", *words) == {
        "server.port": 8700,
        "server.address": "0.0.0.0",
        "server.headless": False,
    }
    monkeypatch.setenv("STREAMLIT_SERVER_HEADLESS", "false")
    assert options("server.port server.headless", "--no-browser") == {
        "server.port": 8600,
        "server.headless": True,
    }


def test_the_users_own_settings_of_streamlit_are_kept(
    options, tmp_path, monkeypatch
) -> None:
    set_option(tmp_path / "home", '[server]\naddress = "::1"\nbaseUrlPath = "faces"')
    set_option(tmp_path / "folder", "[server]\nport = 8800\nmaxUploadSize = 7")
    names = "server.address server.baseUrlPath server.port server.maxUploadSize"
    kept = {
        "server.address": "::1",
        "server.baseUrlPath": "faces",
        "server.port": 8800,
    }
    assert options(names) == kept | {"server.maxUploadSize": 400}
    monkeypatch.setenv("STREAMLIT_SERVER_MAX_UPLOAD_SIZE", "900")
    monkeypatch.setenv("STREAMLIT_SERVER_ADDRESS", "0.0.0.0")
    assert options(names) == kept | {
        "server.maxUploadSize": 900,
        "server.address": "0.0.0.0",
    }


@pytest.mark.parametrize("port", ["0", "65536", "x", "1.5", "²"])
def test_a_port_is_a_number(port: str, capsys) -> None:
    with pytest.raises(SystemExit) as left:
        main(["app", "--port", port])
    assert left.value.code == 2
    assert "from 1 to 65535" in capsys.readouterr().err


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "maskdet", "app", "--no-browser"]
    served = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: served.poll() is not None or is_healthy(port), "the server")
        served.send_signal(signal.SIGINT)
        out, err = served.communicate(timeout=WAIT_S)
    finally:
        served.kill()
    assert served.returncode == 0, err
    assert f"http://localhost:{port}" in out
    assert "Traceback" not in err


def test_the_version_is_told(capsys) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"maskdet {__version__}\n"
