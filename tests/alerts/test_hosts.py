"""Hosts to which alerts of remote visitors may be sent."""

from __future__ import annotations

import pytest

from maskdet.alerts.delivery import ALERT_HOSTS_VARIABLE, describe_host_rejection


@pytest.mark.parametrize(
    ("host", "listed", "allowed"),
    [
        ("hooks.example.org", "", False),
        ("", "", False),
        ("127.0.0.1", "", False),
        ("hooks.example.org", " Hooks.Example.org , b.example", True),
        ("HOOKS.example.org.", "hooks.example.org", True),
        ("hooks.example.org", "example.org", False),
        ("hooks.example.org.evil.example", "hooks.example.org", False),
        ("evil.example", "*", True),
    ],
)
def test_only_listed_hosts_are_allowed(host, listed, allowed) -> None:
    line = describe_host_rejection(
        host, is_local=False, environment={ALERT_HOSTS_VARIABLE: listed}
    )
    assert (line == "") is allowed
    assert (
        describe_host_rejection(
            host, is_local=True, environment={ALERT_HOSTS_VARIABLE: listed}
        )
        == ""
    )
