"""`maskdet serve`: the analysis of images and videos over HTTP."""

from __future__ import annotations

import argparse
import os
import socket
from contextlib import closing, suppress

from maskdet.cli.console import print_line
from maskdet.cli.options import (
    add_analyzer_options,
    add_blur_option,
    add_listen_options,
    add_tiles_option,
    make_number_parser,
    parse_analyzer_options,
)
from maskdet.extras import require_libraries
from maskdet.http_api.config import (
    KEYS_VARIABLE,
    ApiConfig,
    count_workers,
    read_api_keys,
)
from maskdet.wording import format_count

_PORT = 8502

_STOP_TIMEOUT_S = 5
"""Time that running requests get when the server is stopped."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "serve",
        help="offer the analysis over HTTP",
        description="Serve images and videos over HTTP until Ctrl-C; /openapi.json "
        "describes all requests. Clients send one of the API keys in the variable "
        "MASKDET_API_KEYS. Without keys, only this machine has access.",
    )
    add_listen_options(
        parser,
        port=_PORT,
        port_note=f"{_PORT}",
        address_note=", and needs API keys (default: 127.0.0.1, this machine only)",
    )
    parser.add_argument(
        "--workers",
        type=make_number_parser(1, 256),
        metavar="N",
        help="images that are analyzed at the same time, each with its own models "
        "(default: one more than half of the cores)",
    )
    parser.add_argument(
        "--max-waiting",
        type=make_number_parser(1),
        default=ApiConfig.max_waiting,
        metavar="N",
        help="images that may wait; a request beyond is refused with status 429 "
        f"(default: {ApiConfig.max_waiting})",
    )
    add_blur_option(parser, "annotated images and videos")
    add_tiles_option(parser)
    add_analyzer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until stopped.

    Raises:
        MissingExtraError: FastAPI is not installed.
        ValueError: the address needs API keys, or an option is invalid.
        OSError: the address or port cannot be used, or a model is missing.
        RuntimeError: a model is broken.
    """
    require_libraries("maskdet serve", "fastapi", "uvicorn", "prometheus_client")
    import uvicorn

    from maskdet.http_api.application import create_application
    from maskdet.serving.access import is_loopback
    from maskdet.serving.memory import overwrite_freed_memory

    options = parse_analyzer_options(args)
    address = args.address or "127.0.0.1"
    keys = read_api_keys(os.environ)
    if not keys and not is_loopback(address):
        raise ValueError(
            f"--address {address} allows other machines; set API keys in "
            f"{KEYS_VARIABLE}, for example: export {KEYS_VARIABLE}=$(openssl rand "
            "-hex 24)"
        )
    config = ApiConfig(
        analyzer=options.analyzer,
        video_analyzer=parse_analyzer_options(args, live=True).analyzer,
        classifier=options.classifier,
        refine=options.refine,
        settings=options.settings,
        style=options.style,
        tiling=args.tiles,
        n_workers=args.workers or count_workers(),
        max_waiting=args.max_waiting,
        keys=keys,
    )
    overwrite_freed_memory()
    application = create_application(config)
    # The application closes its resources too, as a signal ends this process before the
    # end of the context.
    with _bind(address, args.port) as listener, closing(application.state.server):
        application.state.server.workers.warm_up(config.analyzer)
        options.print_notices()
        host = f"[{address}]" if ":" in address else address
        access = (
            format_count(len(keys), "API key")
            if keys
            else "no API key, this machine only"
        )
        print_line(
            f"maskdet serves http://{host}:{args.port}/openapi.json ({access})",
            to_stderr=True,
        )
        server = uvicorn.Server(
            uvicorn.Config(
                application,
                # Its own closes all log handlers of the process, and their streams.
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_STOP_TIMEOUT_S,
            )
        )
        with suppress(KeyboardInterrupt):
            server.run([listener])
    return 0


def _bind(address: str, port: int) -> socket.socket:
    """Return a socket of an address, which does not accept connections yet.

    Raises:
        OSError: the address is not one of this machine, or the port is taken.
    """
    try:
        infos = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        # The name localhost has two addresses; every client tries this one.
        family, kind, _, _, target = min(infos, key=lambda info: info[0])
        listener = socket.socket(family, kind)
        try:
            if os.name == "posix":  # elsewhere it would allow a second server
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(target)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise OSError(
            f"cannot listen on port {port} of {address}: {error.strerror}"
        ) from None
    return listener
