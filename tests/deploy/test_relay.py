"""The files of `deploy/` with real programs: video only through TURN, over HTTPS.

coturn, Caddy and Chromium run with the configuration of `deploy/`; the certificate is
self-signed. The browser may use the relay only, and in the last case the dashboard too.
`pytest -s tests/deploy/test_relay.py` prints what was connected how.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from maskdet.web.live.connection import TURN_SECRET_VARIABLE, TURN_URLS_VARIABLE
from maskdet.web.server.login import PASSWORD_VARIABLE
from tests.browser.dashboard import LivePage
from tests.helpers.servers import ROOT, find_free_port, serve_dashboard
from tests.helpers.waiting import WAIT_MS, wait_until

DEPLOY = ROOT / "deploy"
NAME = "masks.test"
PASSWORD, SECRET = "correct horse", "north"

PROGRAMS = ("turnserver", "caddy", "openssl", "chromium")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"not installed: {MISSING}; Debian: apt-get install coturn caddy",
    ),
]

# In each frame of the page: relay only, over one transport, and the connection is kept.
RELAY_ONLY = """(() => {
  const Original = window.RTCPeerConnection;
  window.peers = [];
  window.RTCPeerConnection = class extends Original {
    constructor(configuration) {
      const iceServers = configuration.iceServers.map((server) => ({
        ...server, urls: [server.urls].flat().filter((url) => %s),
      }));
      super({...configuration, iceServers, iceTransportPolicy: "relay"});
      window.peers.push(this);
    }
  };
})()"""

FILTERS = {
    "udp": "!url.includes('transport=tcp')",
    "tcp": "url.startsWith('turn:') && url.includes('transport=tcp')",
    "tls": "url.startsWith('turns:')",
}

# What the browser reports of the connection that is in use.
CONNECTED = """async () => {
  const stats = [...(await window.peers.at(-1).getStats()).values()];
  const find = (id) => stats.find((entry) => entry.id === id) ?? {};
  const transport = stats.find((entry) => entry.type === "transport") ?? {};
  const pair = find(transport.selectedCandidatePairId);
  const video = stats.find((e) => e.type === "inbound-rtp" && e.kind === "video") ?? {};
  const [local, remote] = [find(pair.localCandidateId), find(pair.remoteCandidateId)];
  return {
    local: local.candidateType, protocol: local.relayProtocol,
    remote: remote.candidateType, remotePort: remote.port,
    frames: video.framesDecoded ?? 0, bytes: pair.bytesReceived ?? 0,
  };
}"""

# The dashboard may not offer its own addresses, as behind a firewall.
SERVER_RELAY_ONLY = """
import aioice.ice
original = aioice.ice.Connection.__init__
def relay_only(self, *args, **options):
    policy = aioice.ice.TransportPolicy.RELAY
    original(self, *args, **(options | {"transport_policy": policy}))
aioice.ice.Connection.__init__ = relay_only
"""


@dataclass
class Site:
    """Proxy, relay and dashboard.

    Attributes:
        url: address of the proxy.
        dashboard: type of the candidate by which the dashboard is reached.
    """

    url: str
    dashboard: str


def get_own_address() -> str:
    """Return an address of this machine that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def make_certificate(folder: Path, address: str) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={NAME}", "-keyout", str(key), "-out", str(certificate)),
            *("-addext", f"subjectAltName=DNS:{NAME},IP:{address}"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextlib.contextmanager
def run_program(log: Path, *words: str, **environment: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdout=output, stderr=output, env=os.environ | environment
        )
        try:
            yield
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            process.wait(10)


def accepts(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 5):
        return True
    return False


@pytest.fixture(scope="module", params=["dashboard direct", "dashboard relay only"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    address = get_own_address()
    certificate, key = make_certificate(folder, address)
    https, http, turn, turns = (find_free_port() for _ in range(4))
    urls = (
        f"turn:{address}:{turn} turn:{address}:{turn}?transport=tcp "
        f"turns:{address}:{turns}?transport=tcp"
    )
    environment = {
        PASSWORD_VARIABLE: PASSWORD,
        TURN_SECRET_VARIABLE: SECRET,
        TURN_URLS_VARIABLE: urls,
        "MASKDET_EVENTS_URL": "off",
        "PYTHONPATH": str(folder),
    }
    if request.param == "dashboard relay only":
        (folder / "sitecustomize.py").write_text(SERVER_RELAY_ONLY)
    relay = [
        *("turnserver", "-c", str(DEPLOY / "turnserver.conf")),
        *(f"--listening-port={turn}", f"--tls-listening-port={turns}"),
        *(f"--listening-ip={address}", f"--relay-ip={address}"),
        *(f"--realm={NAME}", f"--static-auth-secret={SECRET}"),
        *(f"--cert={certificate}", f"--pkey={key}"),
        # This machine's address is private, unlike that of a server on the Internet.
        f"--allowed-peer-ip={address}",
        *(f"--userdb={folder / 'turndb'}", f"--pidfile={folder / 'turn.pid'}"),
        "--verbose",
    ]
    with (
        run_program(folder / "coturn.log", *relay),
        serve_dashboard(folder, "--allow-host", NAME, **environment) as dashboard,
        run_program(
            folder / "caddy.log",
            *("caddy", "run", "--config", str(DEPLOY / "Caddyfile")),
            *("--adapter", "caddyfile"),
            DOMAIN=f"{NAME}:{https}",
            UPSTREAM=f"127.0.0.1:{dashboard.port}",
            CADDY_TLS=f"tls {certificate} {key}",
            CADDY_OPTIONS=f"http_port {http}\n\tadmin off",
            XDG_DATA_HOME=str(folder),
            XDG_CONFIG_HOME=str(folder),
        ),
    ):
        wait_until(lambda: accepts("127.0.0.1", https), "Caddy")
        wait_until(lambda: accepts(address, turn), "coturn")
        candidate = "relay" if "only" in request.param else "host"
        yield Site(f"https://{NAME}:{https}/", candidate)
        print("\ncoturn:", *summarize_relay(folder / "coturn.log"), sep="\n  ")


def summarize_relay(log: Path) -> list[str]:
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if "usage:" in line and "rp=0, rb=0" not in line][:6]


@pytest.fixture(params=FILTERS)
def page(request: pytest.FixtureRequest, site: Site) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
        "--ignore-certificate-errors",
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=flags, timeout=WAIT_MS
        )
        with contextlib.closing(browser):
            context = browser.new_context(ignore_https_errors=True)
            context.set_default_timeout(WAIT_MS)
            context.add_init_script(RELAY_ONLY % FILTERS[request.param])
            page = context.new_page()
            page.transport = request.param
            yield page


def test_video_arrives_through_the_relay_only(site: Site, page: Any) -> None:
    page.goto(site.url)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    live = LivePage(page)
    live.start()
    first = live.frame.evaluate(CONNECTED)["frames"]
    connected: dict[str, Any] = {}

    def has_more_frames() -> bool:
        connected.update(live.frame.evaluate(CONNECTED))
        return connected["frames"] >= first + 30

    wait_until(has_more_frames, "30 more frames")
    print(f"\n{site.url} browser over {page.transport}: {connected}")
    assert connected["local"] == "relay"
    assert connected["protocol"] == page.transport
    assert connected["remote"] == site.dashboard
    live.stop()


def test_the_proxy_adds_headers_and_hides_the_metrics(site: Site) -> None:
    port = int(site.url.rstrip("/").rpartition(":")[2])
    context = ssl._create_unverified_context()
    responses = {}
    for path in ("/", "/_stcore/health", "/metrics", "/_stcore/metrics"):
        link = socket.create_connection(("127.0.0.1", port), 10)
        request = f"GET {path} HTTP/1.0\r\nHost: {NAME}:{port}\r\n\r\n"
        with context.wrap_socket(link, server_hostname=NAME) as secure:
            secure.sendall(request.encode())
            responses[path] = b"".join(iter(lambda: secure.recv(65_536), b"")).decode()
    statuses = {path: int(text.split()[1]) for path, text in responses.items()}
    assert statuses == {
        **{"/": 401, "/_stcore/health": 200},
        **{"/metrics": 404, "/_stcore/metrics": 404},
    }
    text = responses["/_stcore/health"].lower()
    assert "\r\nstrict-transport-security: " in text
    assert "\r\ncontent-security-policy: frame-ancestors 'self'" in text
    assert "\r\nserver: " not in text
