"""`maskdet app`: open the dashboard."""

from __future__ import annotations

import argparse

from maskdet.cli.choosing import add_models_option
from maskdet.extras import require

_LAST_PORT = 65_535


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "app",
        help="open the dashboard",
        description="Serve the dashboard until Ctrl-C. Streamlit's own settings, such "
        "as certificates, may be given as STREAMLIT_... variables or in "
        ".streamlit/config.toml.",
    )
    parser.add_argument(
        "--port",
        type=_port,
        metavar="N",
        help="where to listen (default: 8501, or the next one that is free)",
    )
    parser.add_argument(
        "--address",
        metavar="HOST",
        help="on which address to listen; 0.0.0.0 lets other machines in (default: "
        "localhost, this machine only)",
    )
    parser.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        help="open a browser (default: where there is a screen)",
    )
    add_models_option(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until stopped.

    Raises:
        MissingExtraError: Streamlit is not installed.
    """
    require("maskdet app", "streamlit", "streamlit_webrtc", "altair", "sqlalchemy")
    from maskdet.web.launch import launch

    launch(port=args.port, address=args.address, browser=args.browser)
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _LAST_PORT):
        raise argparse.ArgumentTypeError(
            f"wanted a whole number from 1 to {_LAST_PORT}, not {text!r}"
        )
    return int(text)
