"""`maskdet app`: open the dashboard."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from maskdet.cli.options import add_listen_options, add_models_option
from maskdet.extras import require_libraries

if TYPE_CHECKING:
    from maskdet.web.cameras.config import Camera


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "app",
        help="open the dashboard",
        description="Serve the dashboard until Ctrl-C. Set Streamlit's own settings, "
        "such as certificates, in STREAMLIT_... variables or in "
        ".streamlit/config.toml.",
    )
    add_listen_options(
        parser,
        port=None,
        port_note="8501, or the next free one",
        address_note=" (default: localhost, this machine only)",
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
        help="whether visitors on this machine may delete events, send alerts to "
        "any host and enter camera URLs (default: yes, unless other hosts or "
        "origins are allowed)",
    )
    _add_camera_options(parser)
    parser.add_argument(
        "--browser",
        action=argparse.BooleanOptionalAction,
        help="open a browser (default: if there is a display)",
    )
    add_models_option(parser)


def _add_camera_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--camera",
        action="append",
        default=[],
        dest="cameras",
        type=_parse_camera,
        metavar="NAME=URL",
        help="network camera that visitors can watch, such as "
        "Door=rtsp://192.168.1.20/stream (may be repeated). Other users of this "
        "machine can see a password in the command line; MASKDET_CAMERAS hides it",
    )
    parser.add_argument(
        "--any-camera",
        action=argparse.BooleanOptionalAction,
        help="whether visitors may enter the URL of another camera, to which the "
        "server then connects (default: those with the rights of --local-admin)",
    )
    parser.add_argument(
        "--always-analyze",
        action=argparse.BooleanOptionalAction,
        help="analyze the named cameras even if nobody watches them (default: no)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until stopped.

    Raises:
        MissingExtraError: Streamlit is not installed.
    """
    require_libraries(
        "maskdet app",
        *("streamlit", "streamlit_webrtc", "prometheus_client"),
        *("sqlalchemy", "vl_convert"),
    )
    from maskdet.web.server.launch import launch_dashboard

    launch_dashboard(
        port=args.port,
        address=args.address,
        browser=args.browser,
        allowed_hosts=args.allowed_hosts,
        local_admin=args.local_admin,
        cameras=args.cameras,
        any_camera=args.any_camera,
        always_analyze=args.always_analyze,
    )
    return 0


def _parse_host_pattern(text: str) -> str:
    # Imported here, as this module must load without Streamlit.
    from maskdet.serving.access import is_host_pattern

    if not is_host_pattern(text):
        raise argparse.ArgumentTypeError(
            "must be a host name such as masks.example.org, without scheme and port, "
            f"not {text!r}"
        )
    return text


def _parse_camera(text: str) -> Camera:
    from maskdet.web.cameras.config import parse_camera

    try:
        return parse_camera(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
