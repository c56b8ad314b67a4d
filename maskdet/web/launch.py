"""Start the dashboard that comes with maskdet, as `streamlit run app.py` would."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamlit import config
from streamlit.web import cli

from maskdet.resources import resource_path
from maskdet.web import access, guard, streamlit_hooks, uploads

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def launch(
    *,
    port: int | None = None,
    address: str | None = None,
    browser: bool | None = None,
    allowed_hosts: Sequence[str] = (),
    local_admin: bool | None = None,
) -> None:
    """Serve the dashboard until somebody stops it.

    No other machine is asked for anything. The server answers to addresses, to this
    machine's own names, and to the names that are allowed.

    Streamlit reads `.streamlit/config.toml` in the user's home, in the working
    directory and beside `app.py`, later ones win; then `STREAMLIT_...` variables; what
    is given here wins over all of them.

    Args:
        port: where to listen; by default what the user's settings of Streamlit say,
            else the first free one from 8501 on.
        address: on which address to listen; by default what these settings say, else
            this machine only.
        browser: whether to open a browser; by default only where there is a screen.
        allowed_hosts: names that visitors may use for this server, beside those in
            their settings of Streamlit, as `masks.example.org` or `*.example.org`.
        local_admin: whether visitors on this machine may delete events and have alerts
            sent to any host; by default what `MASKDET_LOCAL_ADMIN` says, else unless
            there are names or origins for other machines.

    Raises:
        ValueError: a variable of the environment has a value that cannot be used.
    """
    if local_admin is not None:
        os.environ[access.ADMIN_VARIABLE] = "on" if local_admin else "off"
    _check(os.environ)
    streamlit_hooks.protect_app()
    streamlit_hooks.limit_server()
    words = ["run", str(resource_path("app.py"))]
    if address is None and not _setting("address"):
        address = "localhost"  # Streamlit itself would listen to the whole network
    if address is not None:
        words += ["--server.address", address]
    if not _setting("fileWatcherType"):
        # Nobody edits what is served; watching all files of a checkout fills the log.
        words += ["--server.fileWatcherType", "none"]
    if port is not None:
        words += ["--server.port", str(port)]
    if browser is not None:
        words += ["--server.headless", "false" if browser else "true"]
    for host in (*_LOOPBACK, *_hosts_of_settings(), *allowed_hosts):
        words += ["--server.allowedHosts", host]
    cli.main(words, prog_name="streamlit", standalone_mode=False)


def _check(environment: Mapping[str, str]) -> None:
    """Raise `ValueError` for a variable that a page could not use."""
    access.gives_local_admin(environment, public=False)
    guard.frame_ancestors(environment)
    uploads.Limits.from_environment(environment, file_mb=1)


def _hosts_of_settings() -> list[str]:
    """Return the allowed hosts of the user's settings of Streamlit."""
    hosts = _setting("allowedHosts")
    if isinstance(hosts, str):  # from a variable
        return hosts.split()
    return [str(host) for host in hosts] if isinstance(hosts, list) else []


def _setting(name: str) -> object:
    """Return a setting of the server in the user's settings of Streamlit, or `None`.

    Asking Streamlit would make it warn of settings that change after the start.
    """
    variable = "STREAMLIT_SERVER_" + re.sub("([A-Z])", r"_\1", name).upper()
    if os.environ.get(variable):
        return os.environ[variable]
    found: object = None
    for file in config.get_config_files("config.toml"):
        try:
            content = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # Streamlit says what is wrong with it
        server = content.get("server")
        if isinstance(server, dict) and server.get(name):
            found = server[name]
    return found
