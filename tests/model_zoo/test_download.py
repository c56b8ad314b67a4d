from __future__ import annotations

import hashlib
import http.server
import io
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from maskdet.model_zoo import download, write_verified

CONTENT = bytes(range(256)) * 1000
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An HTTPS server on this machine that trusts only itself."""
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
            if self.path == "/missing":
                self.send_error(404)
                return
            self.send_response(200)
            promised = len(CONTENT) * (2 if self.path == "/cut" else 1)
            self.send_header("Content-Length", str(promised))
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


def get(url: str, target: Path, **changes) -> None:
    words = {"sha256": SUM, "n_bytes": len(CONTENT), **changes}
    download(url, target, **words)


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("path", ["/file", "/elsewhere"])
def test_a_file_arrives_whole_and_tells_how_far_it_is(address, tmp_path, path):
    target = tmp_path / "new" / "file"
    seen: list[tuple[int, int]] = []
    get(address + path, target, progress=lambda *words: seen.append(words))
    assert target.read_bytes() == CONTENT
    assert left_in(target.parent) == ["file"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/missing", "Not Found"), ("/weaker", "not an HTTPS address")],
)
def test_an_address_that_gives_nothing_good_is_one_line(
    address, tmp_path, path, reason
):
    with pytest.raises(ConnectionError, match=reason) as caught:
        get(address + path, tmp_path / "file")
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == []


def test_a_download_that_breaks_off_leaves_the_old_file(address, tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises((ConnectionError, RuntimeError)):
        get(address + "/cut", target, n_bytes=2 * len(CONTENT), sha256="0" * 64)
    assert target.read_bytes() == b"old"
    assert left_in(tmp_path) == ["file"]


def test_a_stranger_in_the_line_is_not_trusted(server, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("no_proxy", "localhost")
    with pytest.raises(ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        get(server[0] + "/file", tmp_path / "file")


@pytest.mark.parametrize(
    "url", ["http://localhost/x", "file:///etc/hosts", "ftp://a/b"]
)
def test_only_https_is_opened(url, tmp_path):
    with pytest.raises(ConnectionError, match="is not an HTTPS address"):
        get(url, tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT + b"!", "more than 256000 bytes"),
        (CONTENT[:-1], "255999 of 256000 bytes"),
        (CONTENT[::-1], "256000 of 256000 bytes, sha256"),
    ],
)
def test_another_file_than_the_one_meant_is_not_kept(content, message, tmp_path):
    with pytest.raises(RuntimeError, match=message):
        write_verified(
            io.BytesIO(content), tmp_path / "x", sha256=SUM, n_bytes=len(CONTENT)
        )
    assert left_in(tmp_path) == []


def test_an_endless_stream_is_cut_off(tmp_path):
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size=-1):
            self.given += size
            return bytes(size)

    source = Endless()
    with pytest.raises(RuntimeError, match="more than 1000000 bytes"):
        write_verified(source, tmp_path / "x", sha256=SUM, n_bytes=1_000_000)
    assert source.given < 1_200_000
