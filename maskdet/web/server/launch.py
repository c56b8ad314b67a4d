"""Launch the dashboard that is included in maskdet, like `streamlit run app.py`."""

from __future__ import annotations

import importlib
import os
import re
import threading
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from streamlit import runtime
from streamlit.runtime.runtime import RuntimeState
from streamlit.web import cli

from maskdet.resources import resource_path
from maskdet.serving import access
from maskdet.serving.memory import overwrite_freed_memory
from maskdet.web import metrics
from maskdet.web.cameras.config import (
    ALWAYS_ANALYZE_VARIABLE,
    ANY_CAMERA_VARIABLE,
    Camera,
    add_cameras,
    check_camera_variables,
    list_cameras,
)
from maskdet.web.server import guard, hooks, login, logs, streamlit_patches, uploads

WARM_MODULES: Final = (
    # For the tracker and the settings: before Start.
    *("scipy.optimize", "pydantic.type_adapter"),
    "aiortc",
    "altair",
    *(f"maskdet.web.{name}.page" for name in ("image", "video", "tune", "models")),
    "maskdet.web.events.page",
)
"""Modules that the first visitors would otherwise wait for, the most urgent first.

The Live page is not among them: streamlit-webrtc warns if it is imported by a thread
without a visitor. Most of the time goes into the import of aiortc.
"""

_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def launch_dashboard(
    *,
    port: int | None = None,
    address: str | None = None,
    browser: bool | None = None,
    allowed_hosts: Sequence[str] = (),
    local_admin: bool | None = None,
    cameras: Sequence[Camera] = (),
    any_camera: bool | None = None,
    always_analyze: bool | None = None,
) -> None:
    """Serve the dashboard until it is stopped.

    The server connects to the named cameras and sends no other requests to other
    machines, unless a visitor enters an address. It accepts IP addresses, this
    machine's own names and the allowed hosts.

    Streamlit reads `.streamlit/config.toml` in the user's home, in the working
    directory and beside `app.py`, where later ones override earlier ones, then
    `STREAMLIT_...` variables. The arguments override all of them.

    Args:
        port: port to listen on; by default that of the user's Streamlit settings, else
            the first free one from 8501 on.
        address: address to listen on; by default that of these settings, else
            localhost.
        browser: whether to open a browser; by default only where there is a screen.
        allowed_hosts: additional host names of this server, such as
            `masks.example.org` or `*.example.org`.
        local_admin: whether visitors on this machine may delete events and send alerts
            to any host. By default `MASKDET_LOCAL_ADMIN` decides; if that is unset,
            they may unless there are names or origins for other machines.
        cameras: network cameras that visitors may watch, besides those of the variable
            `MASKDET_CAMERAS`.
        any_camera: whether visitors may enter a camera URL. By default
            `MASKDET_ANY_CAMERA` decides; if that is unset, those with admin rights may.
        always_analyze: whether the named cameras are analyzed even if nobody watches
            them. By default `MASKDET_ALWAYS_ANALYZE` decides; if that is unset, no.

    Raises:
        ValueError: an environment variable has an invalid value, or two cameras have
            the same name or URL.
    """
    switches = {
        access.ADMIN_VARIABLE: local_admin,
        ANY_CAMERA_VARIABLE: any_camera,
        ALWAYS_ANALYZE_VARIABLE: always_analyze,
    }
    for name, switch in switches.items():
        if switch is not None:
            os.environ[name] = "on" if switch else "off"
    if cameras:
        add_cameras(cameras, os.environ)
    _check_environment(os.environ)
    logs.configure_logging(os.environ)
    streamlit_patches.patch_streamlit()
    streamlit_patches.limit_server()
    streamlit_patches.send_without_delay()
    guard.guard_server()
    overwrite_freed_memory()
    args = ["run", str(resource_path("app.py"))]
    if address is None and not _read_server_option("address"):
        address = "localhost"  # by default Streamlit listens on all addresses
    if address is not None:
        args += ["--server.address", address]
    if not _read_server_option("fileWatcherType"):
        # The files are not edited; watching all files of a checkout fills the log.
        args += ["--server.fileWatcherType", "none"]
    if port is not None:
        args += ["--server.port", str(port)]
    if browser is not None:
        args += ["--server.headless", "false" if browser else "true"]
    for host in (*_LOOPBACK_HOSTS, *_read_allowed_hosts(), *allowed_hosts):
        args += ["--server.allowedHosts", host]
    threading.Thread(target=warm_up, name="maskdet-warm-up", daemon=True).start()
    cli.main(args, prog_name="streamlit", standalone_mode=False)


def _is_server_running() -> bool:
    """Return whether Streamlit's runtime is complete, not only begun."""
    if not runtime.exists():
        return False
    try:
        return runtime.get_instance().state is not RuntimeState.INITIAL
    except AttributeError:  # its constructor is still running in the main thread
        return False


def warm_up() -> None:
    """Load the pages, their libraries and the default models, once the server runs.

    Otherwise the first visitor would wait for them. Cameras that are analyzed without
    viewers start first. Components are registered with the running server when a page
    is imported, so this waits for it, however busy the machine is.
    """
    while not _is_server_running():  # if it cannot start, the process ends
        time.sleep(0.05)
    from maskdet.web import session
    from maskdet.web.cameras.feeds import get_camera_feeds

    get_camera_feeds().watch(list_cameras())
    session.preload_analyzers()
    hooks.EMOJIS.find()
    for name in WARM_MODULES:
        importlib.import_module(name)


def _check_environment(environment: Mapping[str, str]) -> None:
    """Raise `ValueError` for an invalid environment variable."""
    access.is_local_admin_enabled(environment, public=False)
    check_camera_variables(environment)
    access.parse_switch(environment, access.RECORDING_VARIABLE)
    guard.get_frame_ancestors(environment)
    login.Passwords.from_environment(environment)
    logs.read_log_format(environment)
    metrics.read_token(environment)
    uploads.UploadLimits.from_environment(environment, file_mb=1)


def _read_allowed_hosts() -> list[str]:
    """Return the allowed hosts of the user's Streamlit settings."""
    hosts = _read_server_option("allowedHosts")
    if isinstance(hosts, str):  # from a variable
        return hosts.split()
    return [str(host) for host in hosts] if isinstance(hosts, list) else []


def _read_server_option(name: str) -> object:
    """Return a server option of the user's Streamlit settings, or `None`.

    Streamlit's own function would warn of options that change after the start.
    """
    variable = "STREAMLIT_SERVER_" + re.sub("([A-Z])", r"_\1", name).upper()
    if os.environ.get(variable):
        return os.environ[variable]
    value: object = None
    for file in streamlit_patches.list_config_files():
        try:
            content = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # Streamlit reports the error
        server = content.get("server")
        if isinstance(server, dict) and server.get(name):
            value = server[name]
    return value
