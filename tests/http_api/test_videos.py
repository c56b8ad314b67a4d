from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from maskdet.http_api import server as server_module
from maskdet.http_api.videos import SubmittedVideo
from maskdet.resources import resource_path
from maskdet.video import VideoProgress
from tests.helpers.servers import serve_api
from tests.helpers.waiting import WAIT_S, wait_until
from tests.http_api.test_application import KEY, OTHER_KEY, authorize

ROOT = Path(__file__).resolve().parents[2]
VIDEO = resource_path("samples/video.mp4").read_bytes()


def submit(client, content=VIDEO, **parameters):
    headers = parameters.pop("headers", {})
    return client.post(
        "/v1/videos",
        content=content,
        params={"every": 30, **parameters},
        headers=headers,
    )


def wait_for_end(client, url, **kwargs):
    answers = []

    def has_ended():
        answers.append(client.get(url, **kwargs).json())
        return answers[-1]["state"] not in ("waiting", "working")

    wait_until(has_ended)
    return answers[-1]


def test_a_video_is_analyzed_and_deleted(client):
    answer = submit(client, name="lobby.mp4")
    assert answer.status_code == 202
    url = answer.headers["location"]
    assert client.get(f"{url}/annotated").status_code in (200, 409)
    result = wait_for_end(client, url)
    assert (result["state"], result["error"]) == ("done", None)
    assert result["name"] == "lobby.mp4"
    assert result["report"]["is_complete"]
    assert 0 < result["progress"]["frames"] <= 10
    assert client.get(f"{url}/annotated").content[4:8] == b"ftyp"
    assert client.get(f"{url}/rows").text.startswith("video,time_s,")
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404


def test_what_is_no_video_fails_with_one_line(client):
    result = wait_for_end(client, submit(client, b"no video").headers["location"])
    assert (result["state"], result["report"]) == ("failed", None)
    assert result["error"]
    assert "\n" not in result["error"]
    assert submit(client, every=0).status_code == 422


def test_an_analyzer_that_cannot_be_loaded_fails_with_one_line(client, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("/secret/folder/ssd: checksum differs")

    monkeypatch.setattr(server_module, "load_analyzer", fail)
    result = wait_for_end(client, submit(client, analyzer="ssd").headers["location"])
    assert result["state"] == "failed"
    assert result["error"].startswith("this server cannot load the analyzer ssd")


def test_a_video_that_ends_meanwhile_is_not_done_without_a_report():
    class EndingJob:
        """Has ended when its state or report is read for the second time."""

        name, problem, progress = "a", "", VideoProgress(0.0, None, 0.0, 0)
        n_reads = 0

        @property
        def has_ended(self):
            self.n_reads += 1
            return self.n_reads > 1

        @property
        def state(self):
            return "done" if self.has_ended else "working"

        @property
        def report(self):
            return SimpleNamespace(to_dict=dict) if self.has_ended else None

    described = SubmittedVideo("id", "", EndingJob()).describe()
    assert described["state"] == "working" or described["report"] is not None


def test_a_video_can_be_stopped(client, gate):
    gate.clear()
    url = submit(client, every=1).headers["location"]
    assert client.post(f"{url}/stop").status_code == 200
    gate.set()
    result = wait_for_end(client, url)
    assert result["state"] == "failed" or not result["report"]["is_complete"]


def test_the_file_name_of_a_form_replaces_the_name(client):
    files = [("files", ("lobby.mp4", VIDEO))]
    sent = client.post("/v1/videos", files=files, params={"name": "a", "every": 100})
    assert sent.json()["name"] == "lobby.mp4"
    assert submit(client, name="a" * 201).status_code == 422


def test_another_caller_does_not_see_a_video(serve):
    with serve(keys=(KEY, OTHER_KEY)) as client:
        url = submit(client, headers=authorize(KEY)).headers["location"]
        for method in (client.get, client.delete):
            assert method(url, headers=authorize(OTHER_KEY)).status_code == 404
        assert wait_for_end(client, url, headers=authorize(KEY))["state"] == "done"


def test_too_many_videos_are_refused(serve, gate):
    with serve(max_video_jobs=1) as client:
        gate.clear()
        url = submit(client).headers["location"]
        refused = submit(client)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        gate.set()
        wait_for_end(client, url)
        assert submit(client).status_code == 202


def test_results_are_deleted_some_time_after_the_end(serve, monkeypatch, gate):
    monkeypatch.setattr("maskdet.serving.video_job._PRESENCE_INTERVAL_S", 0.01)
    with serve(keep_results_s=0.0) as client:
        gate.clear()
        url = submit(client, every=100).headers["location"]
        video = client.app.state.server.videos.find(url.rpartition("/")[2], "")
        n_asked = []
        monkeypatch.setattr(video.job, "_is_present", lambda: n_asked.append(1) or True)
        wait_until(lambda: len(n_asked) > 3)
        assert not video.job._closed.is_set()  # it is still analyzed
        gate.set()
        wait_until(lambda: client.get(url).status_code == 404)


def test_the_oldest_result_of_a_caller_makes_room_for_a_new_one(serve):
    def send(client, key):
        return submit(client, every=100, headers=authorize(key))

    with serve(keys=(KEY, OTHER_KEY), max_videos=2) as client:
        urls = []
        for _ in range(3):
            urls.append(send(client, KEY).headers["location"])
            wait_for_end(client, urls[-1], headers=authorize(KEY))
        statuses = [client.get(url, headers=authorize(KEY)).status_code for url in urls]
        assert statuses == [404, 200, 200]
        refused = send(client, OTHER_KEY)
        assert refused.status_code == 429
        assert refused.json()["detail"].startswith("too many videos are kept")
        assert client.delete(urls[1], headers=authorize(KEY)).status_code == 204
        assert send(client, OTHER_KEY).status_code == 202


def test_a_video_that_is_received_has_a_place(serve, monkeypatch):
    with serve(max_video_jobs=1) as client:
        videos = client.app.state.server.videos
        with videos.reserve(""):
            assert submit(client).status_code == 429
        # A video that is refused gives its place back.
        assert submit(client, b"").status_code == 422
        assert videos.n_active == 0


def test_an_uploaded_video_is_deleted_at_the_end(client):
    url = submit(client).headers["location"]
    wait_for_end(client, url)
    video = client.app.state.server.videos.find(url.rpartition("/")[2], "")
    assert video.job.join(WAIT_S)
    assert not video.job.video_path.exists()
    assert client.get(f"{url}/annotated").status_code == 200


def test_the_end_of_the_server_deletes_videos(serve):
    with serve() as client:
        url = submit(client).headers["location"]
        wait_for_end(client, url)
        video = client.app.state.server.videos.find(url.rpartition("/")[2], "")
        path = video.job.annotated_path
        assert path.is_file()
    assert not path.exists()


@pytest.mark.slow
def test_real_models_answer_over_a_real_connection():
    with serve_api() as url:
        image = resource_path("samples/group.jpg").read_bytes()
        answer = requests.post(f"{url}/v1/images", data=image, timeout=WAIT_S).json()
        labels = sorted(face["label"] for face in answer["images"][0]["faces"])
        assert labels == ["incorrect"] * 2 + ["mask"] * 3 + ["no_mask"] * 2
        client = ROOT / "docs" / "examples" / "http_client.py"
        words = [sys.executable, client, url, resource_path("samples/group.jpg")]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert sorted(line.split()[0] for line in shown.splitlines()) == labels
