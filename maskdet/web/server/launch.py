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
from maskdet.web.server import access, guard, streamlit_patches, uploads

_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def launch_dashboard(
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
    _check_environment(os.environ)
    streamlit_patches.patch_streamlit()
    streamlit_patches.limit_server()
    args = ["run", str(resource_path("app.py"))]
    if address is None and not _read_server_option("address"):
        address = "localhost"  # Streamlit itself would listen to the whole network
    if address is not None:
        args += ["--server.address", address]
    if not _read_server_option("fileWatcherType"):
        # Nobody edits what is served; watching all files of a checkout fills the log.
        args += ["--server.fileWatcherType", "none"]
    if port is not None:
        args += ["--server.port", str(port)]
    if browser is not None:
        args += ["--server.headless", "false" if browser else "true"]
    for host in (*_LOOPBACK_HOSTS, *_read_allowed_hosts(), *allowed_hosts):
        args += ["--server.allowedHosts", host]
    cli.main(args, prog_name="streamlit", standalone_mode=False)


def _check_environment(environment: Mapping[str, str]) -> None:
    """Raise `ValueError` for a variable that a page could not use."""
    access.is_local_admin_enabled(environment, public=False)
    guard.get_frame_ancestors(environment)
    uploads.UploadLimits.from_environment(environment, file_mb=1)


def _read_allowed_hosts() -> list[str]:
    """Return the allowed hosts of the user's settings of Streamlit."""
    hosts = _read_server_option("allowedHosts")
    if isinstance(hosts, str):  # from a variable
        return hosts.split()
    return [str(host) for host in hosts] if isinstance(hosts, list) else []


def _read_server_option(name: str) -> object:
    """Return a setting of the server in the user's settings of Streamlit, or `None`.

    Asking Streamlit would make it warn of settings that change after the start.
    """
    variable = "STREAMLIT_SERVER_" + re.sub("([A-Z])", r"_\1", name).upper()
    if os.environ.get(variable):
        return os.environ[variable]
    value: object = None
    for file in config.get_config_files("config.toml"):
        try:
            content = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # Streamlit says what is wrong with it
        server = content.get("server")
        if isinstance(server, dict) and server.get(name):
            value = server[name]
    return value
