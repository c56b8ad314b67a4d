"""Which hosts visitors from other machines may have alerts sent to."""

from __future__ import annotations

import pytest

from maskdet.alerts.hosts import VARIABLE, refusal


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
    line = refusal(host, local=False, environment={VARIABLE: listed})
    assert (line == "") is allowed
    assert refusal(host, local=True, environment={VARIABLE: listed}) == ""
