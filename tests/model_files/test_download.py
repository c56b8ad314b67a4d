from __future__ import annotations

import hashlib
import http.server
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from maskdet.model_files.model_zoo import ModelFile, download, write_verified

CONTENT = bytes(range(256)) * 1000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run a local HTTPS server with a self-signed certificate."""
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    words += f" -addext subjectAltName=DNS:localhost -keyout {key} -out {certificate}"
    try:
        subprocess.run(words.split(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl is needed to make a certificate")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path in {"/weaker", "/elsewhere"}:
                weaker = self.path == "/weaker"
                target = "http://localhost/file" if weaker else "/file"
                self.send_response(302)
                self.send_header("Location", target)
                self.end_headers()
                return
            if self.path == "/circle":
                self.send_response(302)
                self.send_header("Location", "/circle")
                self.end_headers()
                return
            if self.path == "/missing":
                self.send_error(404)
                return
            self.send_response(200)
            content_length = len(CONTENT) * (2 if self.path == "/cut" else 1)
            self.send_header("Content-Length", str(content_length))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *words):
            pass

    listener = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"https://localhost:{listener.server_port}", certificate
    listener.shutdown()
    listener.server_close()


@pytest.fixture
def address(server, monkeypatch) -> str:
    url, certificate = server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "localhost")
    return url


N_BYTES = len(CONTENT)


def describe_file(url: str = "", sha256=CHECKSUM, n_bytes=N_BYTES) -> ModelFile:
    return ModelFile("x", "x", sha256, n_bytes, "MIT", url, "A test.")


def download_content(url: str, target: Path, progress=None, **changes) -> None:
    download(describe_file(url, **changes), target, progress)


def list_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("path", ["/file", "/elsewhere"])
def test_a_download_is_complete_and_reports_progress(address, tmp_path, path):
    target = tmp_path / "new" / "file"
    progress_calls: list[tuple[int, int]] = []
    download_content(
        address + path, target, progress=lambda *words: progress_calls.append(words)
    )
    assert target.read_bytes() == CONTENT
    assert list_names(target.parent) == ["file"]
    assert progress_calls[-1] == (len(CONTENT), len(CONTENT))
    assert progress_calls == sorted(progress_calls)
    assert len(progress_calls) > 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing", "status 404 Not Found"),
        ("/weaker", "not an HTTPS URL"),
        ("/circle", "more than 10 redirects"),
    ],
)
def test_a_failed_download_gives_one_line(address, tmp_path, path, reason):
    with pytest.raises(ConnectionError, match=reason) as caught:
        download_content(address + path, tmp_path / "file")
    assert "\n" not in str(caught.value)
    assert list_names(tmp_path) == []


def test_an_interrupted_download_keeps_the_old_file(address, tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises((ConnectionError, RuntimeError)):
        download_content(
            address + "/cut", target, n_bytes=2 * len(CONTENT), sha256="0" * 64
        )
    assert target.read_bytes() == b"old"
    assert list_names(tmp_path) == ["file"]


def test_an_unreachable_publisher_gives_one_line(tmp_path):
    with pytest.raises(ConnectionError, match=r"file from \S+ \(Connection refused\);"):
        download_content("https://127.0.0.1:1/file", tmp_path / "file")


def test_an_untrusted_certificate_is_rejected(server, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("no_proxy", "localhost")
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        download_content(server[0] + "/file", tmp_path / "file")


@pytest.mark.parametrize(
    "url", ["http://localhost/x", "file:///etc/hosts", "ftp://a/b"]
)
def test_only_https_is_accepted(url, tmp_path):
    with pytest.raises(ConnectionError, match="is not an HTTPS URL"):
        download_content(url, tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT + b"!", "more than 256000 bytes"),
        (CONTENT[:-1], "255999 of 256000 bytes"),
        (CONTENT[::-1], "256000 of 256000 bytes, sha256"),
    ],
)
def test_a_file_with_another_checksum_is_discarded(content, message, tmp_path):
    with pytest.raises(RuntimeError, match=message):
        write_verified(
            [content[:1000], content[1000:]],
            tmp_path / "x",
            describe_file(),
        )
    assert list_names(tmp_path) == []


def test_an_endless_stream_is_aborted(tmp_path):
    n_chunks = 0

    def make_chunks():
        nonlocal n_chunks
        while True:
            n_chunks += 1
            yield bytes(1000)

    with pytest.raises(RuntimeError, match="more than 1000000 bytes"):
        write_verified(make_chunks(), tmp_path / "x", describe_file(n_bytes=1_000_000))
    assert n_chunks == 1001
