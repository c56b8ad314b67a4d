"""`maskdet app`: settings of Streamlit, and exit."""

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
from tests.helpers.servers import serve_dashboard

ROOT = Path(__file__).resolve().parents[2]

# Stop before Streamlit serves, and print the effective options.
PRINT_OPTIONS = """
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
    """Return a function that returns the Streamlit options of a command."""
    home, folder = tmp_path / "home", tmp_path / "folder"
    for one in (home, folder):
        (one / ".streamlit").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for name in [name for name in os.environ if name.startswith("STREAMLIT_")]:
        monkeypatch.delenv(name)

    def read_options(names: str, *words: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-c", PRINT_OPTIONS, names, *words],
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

    return read_options


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
    assert options("client.showErrorDetails") == {"client.showErrorDetails": "none"}


LOOPBACK = ["localhost", "127.0.0.1", "::1"]


def test_an_address_may_come_from_the_environment(options, monkeypatch) -> None:
    monkeypatch.setenv("STREAMLIT_SERVER_ADDRESS", "0.0.0.0")
    assert options("server.address") == {"server.address": "0.0.0.0"}


def test_only_known_hosts_are_allowed(options, tmp_path, monkeypatch) -> None:
    name = "server.allowedHosts"
    assert options(name) == {name: LOOPBACK}
    assert options(name, "--address", "0.0.0.0") == {name: LOOPBACK}
    words = ("--allow-host", "masks.example.org", "--allow-host", "*.example.net")
    mine = ["masks.example.org", "*.example.net"]
    assert options(name, *words) == {name: [*LOOPBACK, *mine]}
    set_option(tmp_path / "folder", '[server]\nallowedHosts = ["a.example"]')
    assert options(name) == {name: [*LOOPBACK, "a.example"]}
    monkeypatch.setenv("STREAMLIT_SERVER_ALLOWED_HOSTS", "b.example c.example")
    assert options(name) == {name: [*LOOPBACK, "b.example", "c.example"]}


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("MASKDET_LOCAL_ADMIN", "never", "is 'never'; accepted are on and off"),
        (
            "MASKDET_UPLOADS_TOTAL_MB",
            "1 GB",
            "must be a whole number of at least 1",
        ),
        (
            "MASKDET_UPLOADS_PER_VISITOR_MB",
            "0",
            "must be a whole number of at least 1",
        ),
        ("MASKDET_FRAME_ANCESTORS", "*; x", "has '*;'; accepted are origins such as"),
    ],
)
def test_an_invalid_variable_is_reported_in_one_line(
    monkeypatch, capsys, variable, value, line
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["app"]) == 1
    err = capsys.readouterr().err
    assert f"{variable} {line}" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["https://masks.example.org", "a:80", "a b", ""])
def test_an_allowed_host_is_a_name(name: str, capsys) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["app", "--allow-host", name])
    assert exit_info.value.code == 2
    assert "without scheme and port" in capsys.readouterr().err


def test_options_take_precedence_over_variables(options, monkeypatch) -> None:
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
    with pytest.raises(SystemExit) as exit_info:
        main(["app", "--port", port])
    assert exit_info.value.code == 2
    assert "from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_traceback(tmp_path: Path, how) -> None:
    with serve_dashboard(tmp_path) as running:
        status, out, err = running.stop(how)
    assert status == 0, err
    assert f"http://localhost:{running.port}" in out
    assert "Traceback" not in err


def test_the_version_is_printed(capsys) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--version"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out == f"maskdet {__version__}\n"
