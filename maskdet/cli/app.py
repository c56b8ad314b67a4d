"""`maskdet app`: open the dashboard."""

from __future__ import annotations

import argparse

from maskdet.cli.options import add_models_option
from maskdet.extras import require_libraries

_MAX_PORT = 65_535


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "app",
        help="open the dashboard",
        description="Serve the dashboard until Ctrl-C. Set Streamlit's own settings, "
        "such as certificates, in STREAMLIT_... variables or in "
        ".streamlit/config.toml.",
    )
    parser.add_argument(
        "--port",
        type=_parse_port,
        metavar="N",
        help="port to listen on (default: 8501, or the next free one)",
    )
    parser.add_argument(
        "--address",
        metavar="HOST",
        help="address to listen on; 0.0.0.0 allows other machines (default: localhost, "
        "this machine only)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        dest="allowed_hosts",
        type=_parse_host_pattern,
        metavar="NAME",
        help="host name under which visitors may reach the server, such as "
        "masks.example.org; *.example.org allows all subdomains, * all names (default: "
        "the name and addresses of this machine; may be repeated)",
    )
    parser.add_argument(
        "--local-admin",
        action=argparse.BooleanOptionalAction,
        help="whether visitors on this machine may delete events and send alerts to "
        "any host (default: yes, unless other hosts or origins are allowed)",
    )
    parser.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        help="open a browser (default: if there is a display)",
    )
    add_models_option(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until stopped.

    Raises:
        MissingExtraError: Streamlit is not installed.
    """
    require_libraries(
        "maskdet app", "streamlit", "streamlit_webrtc", "altair", "sqlalchemy"
    )
    from maskdet.web.server.launch import launch_dashboard

    launch_dashboard(
        port=args.port,
        address=args.address,
        browser=args.browser,
        allowed_hosts=args.allowed_hosts,
        local_admin=args.local_admin,
    )
    return 0


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_PORT):
        raise argparse.ArgumentTypeError(
            f"must be an integer from 1 to {_MAX_PORT}, not {text!r}"
        )
    return int(text)


def _parse_host_pattern(text: str) -> str:
    # Imported here, as this module must load without Streamlit.
    from maskdet.web.server.access import is_host_pattern

    if not is_host_pattern(text):
        raise argparse.ArgumentTypeError(
            "must be a host name such as masks.example.org, without scheme and port, "
            f"not {text!r}"
        )
    return text
