"""Give hostile files to the program: `python hostile_worker.py KIND`, in its folder.

For each seed on its standard input it prints a JSON object: the `outcomes` by door, and
the `problems`, one line each. A native crash ends this process, which is why it is one.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from urllib.parse import parse_qsl

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from starlette.testclient import TestClient
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from maskdet.analyzers import pipelines
from maskdet.cli import main as run_command
from maskdet.evaluation.labelled_set import import_dataset
from maskdet.http_api.application import create_application
from maskdet.http_api.config import ApiConfig
from maskdet.media import encode_jpeg
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.web.image import uploads
from maskdet.web.image.cache import (
    ImageCache,
    SourceImage,
    render_result_png,
    render_result_preview,
)
from tests.soak import mutations

MAX_VIDEO_S = 60.0
ANALYZER = "onepass-fast"
_SMALL_JPEG = encode_jpeg(np.full((60, 80, 3), 90, np.uint8))
_MESSAGE = "maskdet: "
_MAX_ENTRIES = 8  # of a zip of the Image page, that are opened

Outcome = str
"""`read`, or `rejected` with one line."""


class HostileError(Exception):
    """Something that must not happen, such as a traceback or a message of two lines."""


def run_cli(*words: str) -> Outcome:
    """Run a command; it must end with one line for each problem."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = run_command(list(words))
        except SystemExit as end:
            status = int(end.code or 0)
    text = err.getvalue()
    if "Traceback" in text + out.getvalue() or status not in (0, 1, 2):
        raise HostileError(f"{words[0]}: exit status {status}: {text[-2000:]}")
    check_messages(text, words[1], is_rejected=status != 0)
    return "rejected" if status else "read"


def check_messages(text: str, file: str, *, is_rejected: bool) -> None:
    """Check the messages of a command: each is one line, and a rejection has one.

    Args:
        text: the standard error of the command.
        file: name of the input.
        is_rejected: whether the exit status is not 0.
    """
    lines = text.splitlines()
    for line in lines:
        check_line(line)
        # The second line of a message would begin with something else.
        if not line.startswith((_MESSAGE, "pipeline: ", "wrote ", file)):
            raise HostileError(f"not a message of one line: {line!r}"[:500])
    if is_rejected and not any(line.startswith(_MESSAGE) for line in lines):
        raise HostileError(f"rejected without a message: {text!r}"[:500])


def check_line(line: str) -> Outcome:
    """Check a message: one line without control characters."""
    if "\n" in line or any(ord(character) < 32 for character in line.strip("\r")):
        raise HostileError(f"not one printable line: {line!r}"[:500])
    return "rejected"


class Doors:
    """The ways into the program, with models that are loaded once.

    Attributes:
        client: a client of the HTTP API.
        analyzer: of the pages.
    """

    def __init__(self, client: TestClient) -> None:
        """Load the analyzer."""
        self.client = client
        self.analyzer = pipelines.load_analyzer(ANALYZER)

    def send_image(self, content: bytes, **parameters: str) -> Outcome:
        """Send an image to the HTTP API, and ask for the annotated one."""
        response = self.client.post(
            "/v1/images",
            content=content,
            params=parameters,
            headers={"Accept": "image/jpeg"},
        )
        return self._check_response(response.status_code, response.text)

    def send_video(self, content: bytes) -> Outcome:
        """Send a video to the HTTP API, wait for its end, and delete it.

        The Video page uses the same job.
        """
        sent = self.client.post("/v1/videos", content=content, params={"every": "3"})
        if sent.status_code != 202:
            return self._check_response(sent.status_code, sent.text)
        url, deadline_s = sent.headers["Location"], time.monotonic() + MAX_VIDEO_S
        while (video := self.client.get(url).json())["state"] in ("waiting", "working"):
            if time.monotonic() > deadline_s:
                raise HostileError(f"the video took more than {MAX_VIDEO_S:g} s")
            time.sleep(0.05)
        if self.client.delete(url).status_code != 204:
            raise HostileError("the video was not deleted")
        if video["error"] and "unexpected" in video["error"]:
            raise HostileError(video["error"])
        return check_line(video["error"]) if video["error"] else "read"

    @staticmethod
    def _check_response(status: int, text: str) -> Outcome:
        if status == 200:
            return "read"
        if status not in (400, 413, 422):
            raise HostileError(f"HTTP status {status}: {text[:500]}")
        return check_line(json.dumps(json.loads(text)))

    def show_image(self, content: bytes) -> Outcome:
        """Do what the Image page does with a file."""
        cache = ImageCache()
        return self._show(cache, cache.add_file("a.jpg", content, file_id="1"))

    def _show(self, cache: ImageCache, source: SourceImage) -> Outcome:
        settings, style = Settings(), Style()
        analyzed = cache.get_or_analyze(
            source, self.analyzer, analyzer_name=ANALYZER, settings=settings
        )
        if analyzed.error:
            return check_line(analyzed.error)
        view = cache.get_view(source, analyzed, blur=False)
        render_result_preview(view, analyzed, settings, style)
        render_result_png(source, analyzed, settings, style)
        return "read"

    def show_zip(self, content: bytes) -> Outcome:
        """Do what the Image page does with a zip."""
        cache = ImageCache()
        record = UploadedFileRec("1", "a.zip", "application/zip", content)
        images, notes = uploads._expand_file(UploadedFile(record, FileURLs()), cache)
        for note in notes:
            check_line(note)
        for image in images[:_MAX_ENTRIES]:
            self._show(cache, image.source)
        return "read" if images else "rejected"


def accept(read: Callable[[], object]) -> Outcome:
    """Call a function that may raise `ValueError` with one line."""
    try:
        read()
    except ValueError as error:
        return check_line(str(error))
    return "read"


def import_zip(content: bytes) -> Outcome:
    """Do what the Tune page does with a zip."""
    return accept(lambda: import_dataset(content))


def list_tries(
    kind: str, seed: int, doors: Doors
) -> Mapping[str, Callable[[], Outcome]]:
    """Make the input of a seed; return what is done with it, by door."""
    if kind == "images":
        content = mutations.make_hostile_image(seed)
        Path("input.jpg").write_bytes(content)
        outputs = ("--json", "out.json", "--out", "out", "--analyzer", ANALYZER)
        return {
            "detect": lambda: run_cli("detect", "input.jpg", *outputs),
            "HTTP API": lambda: doors.send_image(content),
            "Image page": lambda: doors.show_image(content),
        }
    if kind == "videos":
        content = mutations.make_hostile_video(seed)
        Path("input.mp4").write_bytes(content)
        outputs = ("--csv", "out.csv", "--json", "out.json", "--out", "out.mp4")
        options = ("--every", "3", "--analyzer", ANALYZER, *outputs)
        return {
            "video": lambda: run_cli("video", "input.mp4", *options),
            "HTTP API": lambda: doors.send_video(content),
        }
    if kind == "zips":
        content = mutations.make_hostile_zip(seed)
        Path("input.zip").write_bytes(content)
        return {
            "tune": lambda: run_cli("tune", "input.zip", "--analyzer", ANALYZER),
            "Tune page": lambda: import_zip(content),
            "Image page": lambda: doors.show_zip(content),
        }
    content = mutations.make_hostile_settings(seed)
    link = mutations.make_hostile_link(seed)
    Path("input.json").write_bytes(content)
    Path("small.jpg").write_bytes(_SMALL_JPEG)
    query = dict(parse_qsl(link, keep_blank_values=True))
    return {
        "detect": lambda: run_cli("detect", "small.jpg", "--settings", "input.json"),
        "sidebar": lambda: accept(lambda: Preferences.from_json(content)),
        "link": lambda: accept(lambda: Preferences.from_query(query)),
        "HTTP API": lambda: doors.send_image(_SMALL_JPEG, **query),
    }


def try_seed(kind: str, seed: int, doors: Doors) -> dict[str, object]:
    """Give the input of a seed to all doors; return outcomes and problems."""
    outcomes: dict[str, str] = {}
    problems: list[str] = []
    for door, run in list_tries(kind, seed, doors).items():
        begin_s = time.monotonic()
        try:
            outcomes[door] = run()
        except HostileError as error:
            problems.append(f"{door}: {error}")
        except Exception:
            problems.append(f"{door}: {traceback.format_exc()[-3000:]}")
        if (took_s := time.monotonic() - begin_s) > 20:
            print(f"seed {seed}: {door} took {took_s:.0f} s", file=sys.stderr)
    return {"seed": seed, "outcomes": outcomes, "problems": problems}


@contextlib.contextmanager
def open_doors() -> Iterator[Doors]:
    """Load the models once for all commands, and start the HTTP API."""
    # A process for each command would spend its time with loading models.
    cached = functools.cache(pipelines.load_analyzer)
    for name in ("detect", "video", "tune"):
        vars(import_module(f"maskdet.cli.{name}"))["load_analyzer"] = cached
    config = ApiConfig(analyzer=ANALYZER, video_analyzer=ANALYZER, n_workers=1)
    with TestClient(create_application(config), base_url="http://localhost") as client:
        yield Doors(client)


def main() -> None:
    """Try the seeds of the standard input until it ends."""
    logging.basicConfig(level=logging.ERROR)
    kind = sys.argv[1]
    # The streams of the program are replaced while a command runs.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open_doors() as doors:
        print(json.dumps({"pid": os.getpid()}), file=results, flush=True)
        for line in sys.stdin:
            result = try_seed(kind, int(line), doors)
            print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    main()
