"""The files of `deploy/` agree with each other and with the program."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from maskdet.web.server import login
from tests.helpers.servers import ROOT

DEPLOY = ROOT / "deploy"


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.fixture
def services() -> dict[str, Any]:
    return dict(yaml.safe_load(read("compose.yaml"))["services"])


def test_the_example_of_the_settings_has_each_variable_of_compose() -> None:
    used = set(re.findall(r"\$\{(\w+)", read("compose.yaml")))
    listed = set(re.findall(r"^(\w+)=", read(".env.example"), re.M))
    assert used == listed


def test_every_variable_of_maskdet_in_the_files_exists_in_the_docs() -> None:
    docs = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    files = (path for path in DEPLOY.rglob("*") if path.is_file())
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    for name in set(re.findall(r"\bMASKDET_[A-Z_]+", text)):
        assert f"`{name}`" in docs, name


def test_the_example_has_no_secrets() -> None:
    for name, value in re.findall(r"^(\w+)=(.*)$", read(".env.example"), re.M):
        assert not value or name in ("DOMAIN", "PUBLIC_IP"), name


def test_compose_runs_the_dashboard_without_rights(services) -> None:
    dashboard = services["maskdet"]
    assert dashboard["read_only"]
    assert dashboard["cap_drop"] == ["ALL"]
    assert "ports" not in dashboard, "only the proxy may reach it"
    urls = dashboard["environment"]["MASKDET_TURN_URLS"].split()
    ports = re.findall(
        r"^(?:tls-)?listening-port=(\d+)$", read("turnserver.conf"), re.M
    )
    assert [re.sub(r"\$\{DOMAIN\}", "x", url) for url in urls] == [
        f"turn:x:{ports[0]}",
        f"turn:x:{ports[0]}?transport=tcp",
        f"turns:x:{ports[1]}?transport=tcp",
    ]


def test_the_health_check_is_open_without_a_password() -> None:
    for name in ("Containerfile", "Caddyfile"):
        assert login.HEALTH_PATH.lstrip("/") in read(name)
