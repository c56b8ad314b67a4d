"""Start the dashboard that comes with maskdet, as `streamlit run app.py` would."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from streamlit import config
from streamlit.web import cli

from maskdet.resources import resource_path


def launch(
    *,
    port: int | None = None,
    address: str | None = None,
    browser: bool | None = None,
) -> None:
    """Serve the dashboard until somebody stops it.

    Streamlit reads `.streamlit/config.toml` in the user's home, in the working
    directory and beside `app.py`, later ones win; then `STREAMLIT_...` variables; what
    is given here wins over all of them.

    Args:
        port: where to listen; by default what the user's settings of Streamlit say,
            else the first free one from 8501 on.
        address: on which address to listen; by default what these settings say, else
            this machine only.
        browser: whether to open a browser; by default only where there is a screen.
    """
    words = ["run", str(resource_path("app.py"))]
    if address is None and not _is_address_set():
        address = "localhost"  # Streamlit itself would listen to the whole network
    if address is not None:
        words += ["--server.address", address]
    if port is not None:
        words += ["--server.port", str(port)]
    if browser is not None:
        words += ["--server.headless", "false" if browser else "true"]
    cli.main(words, prog_name="streamlit", standalone_mode=False)


def _is_address_set() -> bool:
    """Return whether the user's settings of Streamlit say where to listen.

    Asking Streamlit would make it warn of settings that change after the start.
    """
    if os.environ.get("STREAMLIT_SERVER_ADDRESS"):
        return True
    for name in config.get_config_files("config.toml"):
        try:
            content = tomllib.loads(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # Streamlit says what is wrong with it
        server = content.get("server")
        if isinstance(server, dict) and server.get("address"):
            return True
    return False
