"""Tests of the installed wheel: the base alone, and the dashboard with its extra."""

from __future__ import annotations

import json
import signal
import subprocess
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from maskdet import __version__
from maskdet.media import open_video
from maskdet.model_files.model_zoo import read_manifest
from tests.helpers.servers import find_free_port, is_healthy
from tests.helpers.waiting import WAIT_S, wait_until
from tests.packaging.environments import ROOT, InstalledWheel, build_wheel

SAMPLES = ROOT / "samples"
BUNDLED = ("app.py", "pages", "models", "samples", ".streamlit/config.toml")
PAGES = sorted(path.name for path in (ROOT / "pages").glob("*.py"))

# All but Live, which needs the server.
OPEN_PAGES = """
import sys
from streamlit.testing.v1 import AppTest
from maskdet.resources import resource_path

app = AppTest.from_file(str(resource_path("app.py")), default_timeout=120)
for page in sys.argv[1:]:
    app.switch_page(f"pages/{page}").run()
    assert not app.exception, (page, app.exception)
    assert not app.error, (page, app.error)
    print(page, app.title[0].value)
"""


# Opens the first page, Live, as a browser does.
OPEN_LIVE = """
import sys
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

with connect(sys.argv[1], subprotocols=["streamlit"], max_size=None) as server:
    server.send(BackMsg(rerun_script={}).SerializeToString())
    kind = ""
    while kind != "script_finished":
        message = ForwardMsg.FromString(server.recv(timeout=120))
        kind = message.WhichOneof("type")
        shown = message.delta.new_element
        assert not shown.HasField("exception"), shown.exception
        if shown.HasField("heading"):
            print(shown.heading.body)
assert message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY, message
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> InstalledWheel:
    """Install the wheel with its base dependencies only."""
    return InstalledWheel(tmp_path_factory.mktemp("base"), wheel)


@pytest.fixture(scope="module")
def app(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> InstalledWheel:
    """Install the wheel with the extra `app`."""
    return InstalledWheel(tmp_path_factory.mktemp("app"), wheel, ["app"])


def test_the_wheel_contains_the_bundled_files(wheel) -> None:
    bundled_paths = [ROOT / name for name in BUNDLED]
    bundled_paths += [path for folder in bundled_paths for path in folder.rglob("*")]
    expected = {
        f"maskdet/_data/{path.relative_to(ROOT).as_posix()}"
        for path in bundled_paths
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if "/_data/" in name} == expected
    others = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "maskdet").rglob("*")
        if path.suffix in {".css", ".html", ".jinja", ".jpg", ".js", ".svg", ".typed"}
    ]
    assert len(others) >= 10
    assert set(others) <= set(names)
    assert all(name.startswith(("maskdet/", "maskdet-")) for name in names)
    external = {row.file_name for row in read_manifest().values() if not row.is_bundled}
    assert external.isdisjoint(Path(name).name for name in names)


def test_the_metadata_has_licence_version_and_commands(wheel) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"maskdet-{__version__}.dist-info"
        metadata = message_from_bytes(archive.read(f"{folder}/METADATA"))
        commands = archive.read(f"{folder}/entry_points.txt").decode()
        licence = archive.read(f"{folder}/licenses/LICENSE").decode()
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata.get_all("Project-URL")
    assert "maskdet = maskdet.cli:main" in commands
    assert "Apache License" in licence


def test_python_imports_the_installed_package(base) -> None:
    code = (
        "import maskdet, importlib.metadata as metadata; print(maskdet.__file__, "
        "maskdet.__version__, metadata.version('maskdet'), maskdet.load_analyzer())"
    )
    completed = base.run("python", "-c", code)
    assert completed.returncode == 0, completed.stderr
    path, version, installed_version, *_ = completed.stdout.split()
    assert Path(path).is_relative_to(base.bin.parent)
    assert version == installed_version == __version__


def test_the_base_prints_its_version(base) -> None:
    completed = base.run("maskdet", "--version")
    assert (completed.returncode, completed.stdout) == (0, f"maskdet {__version__}\n")


def test_the_base_detects_faces(base) -> None:
    completed = base.run("maskdet", "detect", SAMPLES / "group.jpg", "--json", "-")
    assert (completed.returncode, completed.stderr) == (0, "")
    (image,) = json.loads(completed.stdout)["images"]
    assert len(image["faces"]) == 7


def test_the_base_annotates_a_video(base) -> None:
    words = ("video", SAMPLES / "video.mp4", "--out", "y.mp4", "--every", "5")
    completed = base.run("maskdet", *words)
    assert completed.returncode == 0, completed.stderr
    image, _ = next(iter(open_video(base.folder / "y.mp4")))
    assert image.shape[2] == 3


def test_the_base_has_its_models(base) -> None:
    listed = base.run("maskdet", "models", "list", "--json", "-")
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert set(rows) == set(read_manifest())
    ours = [name for name, row in read_manifest().items() if row.is_bundled]
    assert {rows[name]["state"] for name in ours} == {"present"}
    verified = base.run("maskdet", "models", "verify")
    assert verified.returncode == 0, verified.stderr
    for name in ours:
        assert f"{name}: sha256 matches, {base.bin.parent}" in verified.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("app", "maskdet app needs Streamlit: pip install 'maskdet[app]'"),
        ("events", "maskdet events needs SQLAlchemy: pip install 'maskdet[events]'"),
        (
            "train classifier --data .",
            "maskdet train needs TensorFlow: pip install 'maskdet[train]'",
        ),
        (
            "detect {image} --analyzer mtcnn",
            "the detector mtcnn needs the package mtcnn: pip install 'maskdet[mtcnn]'",
        ),
    ],
)
def test_a_missing_extra_is_named_in_one_line(base, words: str, expected: str) -> None:
    arguments = [word.format(image=SAMPLES / "group.jpg") for word in words.split()]
    completed = base.run("maskdet", *arguments)
    assert completed.returncode == 1
    (line,) = completed.stderr.splitlines()
    assert line.removeprefix("maskdet: ") == expected


@pytest.mark.parametrize(
    "command", ["benchmark", "data", "evaluate", "robustness", "tune"]
)
def test_every_command_of_the_base_has_help(base, command: str) -> None:
    completed = base.run("maskdet", command, "--help")
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith(f"usage: maskdet {command}")


def test_every_page_runs_with_the_extra_app(app) -> None:
    # Cameras is only there if the server has cameras.
    pages = [name for name in PAGES if name not in ("live.py", "cameras.py")]
    completed = app.run("python", "-c", OPEN_PAGES, *pages)
    assert completed.returncode == 0, completed.stderr
    assert [line.split()[0] for line in completed.stdout.splitlines()] == pages


def test_the_dashboard_is_served_until_ctrl_c(app) -> None:
    port = find_free_port()
    command = [app.bin / "maskdet", "app", "--no-browser", "--port", str(port)]
    served = subprocess.Popen(
        command,
        cwd=app.folder,
        env=app.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: served.poll() is not None or is_healthy(port), "the server")
        server = f"ws://localhost:{port}/_stcore/stream"
        opened = app.run("python", "-c", OPEN_LIVE, server)
        served.send_signal(signal.SIGINT)
        _, err = served.communicate(timeout=WAIT_S)
    finally:
        served.kill()
    assert opened.returncode == 0, opened.stderr
    assert "Live" in opened.stdout.splitlines()
    assert served.returncode == 0, err
    assert "Traceback" not in err
