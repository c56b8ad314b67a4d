"""Which machines a dashboard may send alerts to.

A visitor gives the address, but the server sends to it: a visitor from elsewhere could
make it knock at doors of its own network. So only visitors on the server's own machine
may name any host; for all others, whoever runs the server lists what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

ALERT_HOSTS_VARIABLE: Final = "MASKDET_ALERT_HOSTS"
"""Host names, separated by commas, that every visitor may have alerts sent to; `*`
allows all."""


def describe_host_rejection(
    host: str, *, is_local: bool, environment: Mapping[str, str] = os.environ
) -> str:
    """Return why alerts may not be sent to a host, in one line; empty if they may.

    Args:
        host: a name or number, as an address has it.
        is_local: whether the visitor may do what only the server's own machine may.
        environment: may list hosts under `ALERT_HOSTS_VARIABLE`.
    """
    names = environment.get(ALERT_HOSTS_VARIABLE, "").split(",")
    allowed_hosts = {name.strip().lower().removesuffix(".") for name in names} - {""}
    if (
        is_local
        or "*" in allowed_hosts
        or host.lower().removesuffix(".") in allowed_hosts
    ):
        return ""
    return (
        "this server sends to no such host for visitors from elsewhere; whoever runs "
        f"it can allow hosts in {ALERT_HOSTS_VARIABLE}"
    )
