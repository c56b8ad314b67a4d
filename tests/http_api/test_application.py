from __future__ import annotations

import json
import socket

import pytest

from maskdet import __version__
from maskdet.cli import main
from maskdet.http_api import server as server_module
from maskdet.http_api.config import ApiConfig, read_api_keys
from tests.helpers.servers import find_free_port
from tests.http_api.test_images import JPEG, post

KEY, OTHER_KEY = "k" * 20, "o" * 20


def authorize(key):
    return {"Authorization": f"Bearer {key}"}


def test_without_keys_only_local_names_are_answered(client):
    assert client.get("/healthz").json() == {"status": "ok", "version": __version__}
    answer = client.get("/healthz", headers={"Host": "attacker.example"})
    assert answer.status_code == 400


def test_pages_of_other_sites_have_no_access(client, serve):
    for host in ("localhost:8502", "[::1]:8502", "127.0.0.1:8502"):
        assert post(client, headers={"Host": host}).status_code == 200
        own = {"Host": host, "Origin": f"http://{host}"}
        assert post(client, headers=own).status_code == 200
        for origin in ("http://attacker.example", "null", "http://localhost:9000"):
            headers = {"Host": host, "Origin": origin}
            assert post(client, headers=headers).status_code == 403
    with serve(keys=(KEY,)) as protected:
        foreign = {**authorize(KEY), "Origin": "http://other.example"}
        assert post(protected, headers=foreign).status_code == 200


def test_with_keys_everything_but_health_and_schema_needs_one(serve):
    with serve(keys=(KEY, OTHER_KEY)) as client:
        for path in ("/healthz", "/openapi.json"):
            assert client.get(path).status_code == 200
        for path in ("/v1/models", "/metrics", "/v1/videos/x"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=authorize("x" * 20)).status_code == 401
        assert post(client).status_code == 401
        for headers in (authorize(KEY), authorize(OTHER_KEY), {"X-API-Key": KEY}):
            assert post(client, headers=headers).status_code == 200


def test_keys_of_the_environment():
    variables = {"MASKDET_API_KEYS": f"{KEY}, {OTHER_KEY}\n"}
    assert read_api_keys(variables) == (KEY, OTHER_KEY)
    assert read_api_keys({}) == ()
    with pytest.raises(ValueError, match="key 2 must have at least 16") as error:
        read_api_keys({"MASKDET_API_KEYS": f"{KEY} secret"})
    assert "secret" not in str(error.value)
    assert KEY not in repr(ApiConfig(keys=(KEY,)))


def test_callers_are_told_apart_without_their_keys():
    config = ApiConfig(keys=(KEY, OTHER_KEY))
    callers = {config.identify_caller(key) for key in config.keys}
    assert len(callers) == 2
    assert not callers & {KEY, OTHER_KEY, None}
    assert config.identify_caller("é" * 20) is None
    assert ApiConfig().identify_caller("anything") == ""


def test_other_machines_need_keys(capsys, monkeypatch):
    monkeypatch.delenv("MASKDET_API_KEYS", raising=False)
    assert main(["serve", "--address", "0.0.0.0"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "set API keys in MASKDET_API_KEYS" in line


@pytest.mark.parametrize(("n_cores", "n_workers"), [(1, 1), (2, 2), (4, 3), (16, 9)])
def test_the_number_of_workers_respects_the_cores_of_the_process(
    monkeypatch, n_cores, n_workers
):
    def get_affinity(process_id):
        return {*range(n_cores)}

    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", get_affinity, raising=False)
    assert ApiConfig().n_workers == n_workers


@pytest.fixture
def port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_taken_port_is_one_line_before_models_are_loaded(capsys, loaded_names, port):
    assert main(["serve", "--port", str(port)]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"maskdet: cannot listen on port {port} of 127.0.0.1: ")
    assert line.count("\n") == 1
    assert not loaded_names


def test_a_missing_model_is_one_line(capsys, monkeypatch):
    def fail(*_, **__):
        raise FileNotFoundError("model file ssd is missing")

    closed = []
    monkeypatch.setattr(server_module, "load_analyzer", fail)
    monkeypatch.setattr(
        server_module.ApiServer, "close", lambda server: closed.append(server)
    )
    assert main(["serve", "--port", str(find_free_port())]) == 1
    assert capsys.readouterr().err == "maskdet: model file ssd is missing\n"
    assert len(closed) == 1


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ("onepass", "onepass-fast")),
        (["--analyzer", "ssd"], ("ssd", "ssd")),
        (["--settings", "settings.json"], ("onepass", "onepass-fast")),
    ],
)
def test_videos_have_the_fast_analyzer_unless_one_is_chosen(
    capsys, monkeypatch, tmp_path, loaded_names, options, names
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.json").write_text('{"analyzer": "auto", "settings": {}}')
    configs = []

    def run(server, sockets):
        configs.append(server.config.app.state.server.config)

    monkeypatch.setattr("uvicorn.Server.run", run)
    monkeypatch.setattr("logging.shutdown", lambda _: pytest.fail("handlers closed"))
    port = find_free_port()
    assert main(["serve", "--port", str(port), "--address", "::1", *options]) == 0
    assert (configs[0].analyzer, configs[0].video_analyzer) == names
    assert f"http://[::1]:{port}/openapi.json (no API key" in capsys.readouterr().err


def test_models_are_listed(client):
    models = client.get("/v1/models").json()
    assert models["analyzer"] == "onepass"
    names = [analyzer["name"] for analyzer in models["analyzers"]]
    assert {"onepass", "onepass-fast"} <= set(names)
    present = {file["name"] for file in models["files"] if file["is_present"]}
    assert {"onepass", "classifier"} <= present


def test_metrics_count_images_faces_and_requests(client):
    assert post(client, headers={"Accept": "image/png"}).status_code == 200
    post(client, b"no image")
    client.get("/v1/videos/secret-id")
    client.request("INVENTED", "/v1/images")
    lines = client.get("/metrics").text.splitlines()
    assert 'maskdet_images_total{result="ok"} 1.0' in lines
    assert 'maskdet_images_total{result="error"} 1.0' in lines
    assert 'maskdet_faces_total{label="mask"} 1.0' in lines
    assert "maskdet_images_waiting 0.0" in lines
    counts = [
        line for line in lines if line.startswith("maskdet_request_seconds_count")
    ]
    assert len(counts) == 4
    assert not any("secret-id" in line or "INVENTED" in line for line in lines)
    assert any('path="/v1/videos/{video_id}"' in line for line in counts)


def test_the_schema_describes_every_path_with_an_example(client):
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        "/v1/images",
        "/v1/videos",
        *(f"/v1/videos/{{video_id}}{rest}" for rest in ("", "/annotated", "/rows")),
        *("/v1/videos/{video_id}/stop", "/v1/models", "/healthz", "/metrics"),
    }
    images = schema["paths"]["/v1/images"]["post"]
    assert {"image/*", "multipart/form-data"} == set(images["requestBody"]["content"])
    example = images["responses"]["200"]["content"]["application/json"]["example"]
    answer = client.post("/v1/images", files=[("files", ("a.jpg", JPEG))]).json()
    assert set(example) == set(answer)
    # The schema leaves out what is null.
    assert {*example["images"][0], "error"} == set(answer["images"][0])
    assert set(example["images"][0]["faces"][0]) == set(answer["images"][0]["faces"][0])
    assert "://" not in json.dumps(images)
