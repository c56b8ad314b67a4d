from __future__ import annotations

import asyncio
import json
import threading

import cv2
import numpy as np
import pytest
from starlette.requests import ClientDisconnect

from maskdet.cli import detect as detect_command
from maskdet.cli import main
from maskdet.http_api import bodies
from maskdet.http_api import server as server_module
from maskdet.media import IMAGE_FORMATS, encode_jpeg, encode_png
from tests.helpers.fakes import make_grey_image
from tests.helpers.waiting import wait_until
from tests.http_api.conftest import GatedAnalyzer
from tests.media.image_files import make_broken_files

JPEG = encode_jpeg(make_grey_image(100, 90))
PNG = encode_png(make_grey_image(120, 80))


def post(client, content=JPEG, **parameters):
    headers = parameters.pop("headers", {})
    return client.post(
        "/v1/images", content=content, params=parameters, headers=headers
    )


def post_files(client, files, **parameters):
    parts = [("files", file) for file in files]
    return client.post("/v1/images", files=parts, params=parameters)


def test_one_image_is_the_body(client):
    answer = post(client)
    assert answer.status_code == 200
    (image,) = answer.json()["images"]
    assert (image["width"], image["height"], image["error"]) == (100, 90, None)
    assert [face["label"] for face in image["faces"]] == ["mask"]


def test_the_answer_is_the_json_of_detect(client, tmp_path, monkeypatch, gate):
    monkeypatch.setattr(
        detect_command, "load_analyzer", lambda *_, **__: GatedAnalyzer(gate)
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "b.png").write_bytes(PNG)
    main(["detect", "a.jpg", "b.png", "--json", "out.json", "--min-score", ".2"])
    expected = json.loads((tmp_path / "out.json").read_text())
    del expected["left_out"]
    answer = post_files(client, [("a.jpg", JPEG), ("b.png", PNG)], min_score=0.2)
    assert answer.json() == expected


def test_several_images_keep_their_order_and_an_error_costs_one_entry(client):
    files = [(f"{n}.jpg", JPEG if n % 3 else b"no image") for n in range(10)]
    images = post_files(client, files).json()["images"]
    assert [image["path"] for image in images] == [name for name, _ in files]
    failed = [image["path"] for image in images if image["error"]]
    assert failed == ["0.jpg", "3.jpg", "6.jpg", "9.jpg"]
    assert IMAGE_FORMATS in images[0]["error"]


@pytest.mark.parametrize("name", sorted(make_broken_files()))
def test_a_broken_image_is_one_line(client, name):
    content, _ = make_broken_files()[name]
    answer = post(client, content)
    assert answer.status_code == 422
    assert "\n" not in answer.json()["detail"]
    assert post(client).status_code == 200  # the server goes on


def test_parameters_change_the_settings(client):
    faces = post(client, min_score=0.2).json()["images"][0]["faces"]
    assert len(faces) == 2
    faces = post(client, min_confidence=0.9).json()["images"][0]["faces"]
    assert [face["label"] for face in faces] == ["unknown"]
    image = post(client, rotate=90).json()["images"][0]
    assert (image["width"], image["height"]) == (90, 100)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_score": 3}, "min_score must be a number from 0 to 1, not 3.0"),
        ({"min_score": "x"}, "min_score: input should be a valid number"),
        ({"min_scor": 0.5}, "unknown parameter 'min_scor'"),
        ({"analyzer": "best"}, "analyzer must be one of onepass"),
        ({"rotate": 45}, "rotate: "),
        ({"tiles": 64}, "tiles: input should be greater than or equal to 320"),
    ],
)
def test_an_invalid_parameter_is_one_line(client, parameters, message):
    answer = post(client, **parameters)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(message)


def test_the_annotated_image_is_sent_if_asked_for(client):
    for media_type, suffix in (("image/jpeg", b"\xff\xd8"), ("image/png", b"\x89PNG")):
        answer = post(client, PNG, headers={"Accept": media_type})
        assert answer.headers["content-type"] == media_type
        assert answer.content.startswith(suffix)
        image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (80, 120, 3)
        assert len(np.unique(image)) > 1  # boxes are drawn on the plain image
    answer = post(client, b"no image", headers={"Accept": "image/png"})
    assert answer.status_code == 422
    metrics = client.get("/metrics").text
    assert 'maskdet_faces_total{label="mask"} 2.0' in metrics


def test_too_much_is_refused(client, monkeypatch):
    limits = "maskdet.http_api.application"
    monkeypatch.setattr(f"{limits}.MAX_REQUEST_MB", 0.001)
    assert post(client, bytes(2000)).status_code == 413
    # A client that announces no size.
    answer = client.post("/v1/images", content=iter([bytes(600), bytes(600)]))
    assert answer.status_code == 413
    monkeypatch.setattr(f"{limits}.MAX_REQUEST_MB", 1)
    monkeypatch.setattr(f"{limits}.MAX_IMAGES", 2)
    answer = post_files(client, [(f"{n}.jpg", JPEG) for n in range(3)])
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("too many files: send at most 2")


def test_form_fields_are_refused_in_one_line(client):
    headers = {"Content-Type": "Multipart/Form-Data; boundary=x"}
    field = b'--x\r\nContent-Disposition: form-data; name="rotate"\r\n\r\n90\r\n--x--'
    answer = post(client, field, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("send only files in the body")


def test_an_upload_that_is_broken_off_is_no_error_of_the_server(client, monkeypatch):
    async def leave(self):
        yield b"start"
        raise ClientDisconnect

    monkeypatch.setattr("starlette.requests.Request.stream", leave)
    assert post(client).status_code == 400


def test_all_requests_share_a_limited_memory(client, monkeypatch):
    received = client.app.state.server.received
    monkeypatch.setattr(bodies, "MAX_RECEIVED_MB", 0.01)
    for send in (post, lambda client: post_files(client, [("a.jpg", JPEG)])):
        received.n += 10_000 - len(JPEG) + 1
        refused = send(client)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        received.n -= 10_000 - len(JPEG) + 1
        assert send(client).status_code == 200
        assert received.n == 0


def test_an_empty_request_says_what_to_send(client):
    answer = post(client, b"")
    assert (answer.status_code, answer.json()["detail"][:7]) == (422, "no file")


def test_a_file_is_never_written_to_a_disk(client, monkeypatch):
    rolled = []
    monkeypatch.setattr(
        "tempfile.SpooledTemporaryFile.rollover", lambda self: rolled.append(self)
    )
    content = JPEG + bytes(3_000_000)
    assert post_files(client, [("a.jpg", content)]).status_code == 200
    assert not rolled


def test_a_request_that_does_not_arrive_ends(client, monkeypatch):
    async def stall(self):
        await asyncio.Event().wait()
        yield b""

    monkeypatch.setattr(bodies, "RECEIVE_TIMEOUT_S", 0.01)
    monkeypatch.setattr("starlette.requests.Request.stream", stall)
    assert post(client).status_code == 408


def test_an_analyzer_that_cannot_be_loaded_is_one_line(client, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("/secret/folder/ssd: checksum differs")

    monkeypatch.setattr(server_module, "load_analyzer", fail)
    for headers in ({}, {"Accept": "image/png"}):
        answer = post(client, analyzer="ssd", headers=headers)
        assert answer.status_code == 503
        detail = answer.json()["detail"]
        assert detail == "this server cannot load the analyzer ssd; choose another one"
    assert "/secret/folder/ssd: checksum differs" in caplog.text
    assert post(client).status_code == 200


def unread():
    raise AssertionError("the body is not received if there is no room")
    yield b""


def test_a_full_queue_is_answered_at_once(serve, gate):
    with serve(max_waiting=2) as client:
        gate.clear()
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(post(client)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        workers = client.app.state.server.workers
        wait_until(lambda: workers.n_waiting == 2)
        refused = client.post("/v1/images", content=unread())
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        gate.set()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        wait_until(lambda: workers.n_waiting == 0)
        assert post(client).status_code == 200


def test_each_worker_has_models_of_its_own(serve, loaded_names):
    with serve(n_workers=3) as client:
        assert loaded_names == ["onepass"] * 3
        post(client, analyzer="onepass-fast")
        assert loaded_names[3:] == ["onepass-fast"]
