"""`maskdet serve`: the analysis of images and videos over HTTP."""

from __future__ import annotations

import argparse
import os

from maskdet.analyzers.pipelines import AUTO, resolve_analyzer
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

_PORT = 8502

_LOOPBACK = ("127.0.0.1", "localhost", "::1")

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
        default=os.cpu_count() or 1,
        metavar="N",
        help="images that are analyzed at the same time, each with its own models "
        "(default: one for each core)",
    )
    parser.add_argument(
        "--max-waiting",
        type=make_number_parser(1),
        default=200,
        metavar="N",
        help="images that may wait; a request beyond is refused with status 429 "
        "(default: 200)",
    )
    add_blur_option(parser, "annotated images and videos")
    add_tiles_option(parser)
    add_analyzer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until stopped.

    Raises:
        MissingExtraError: FastAPI is not installed.
        ValueError: the address needs API keys, or an option is invalid.
    """
    require_libraries("maskdet serve", "fastapi", "uvicorn", "prometheus_client")
    import uvicorn

    from maskdet.http_api.application import create_application
    from maskdet.http_api.config import KEYS_VARIABLE, ApiConfig, read_api_keys

    options = parse_analyzer_options(args)
    address = args.address or _LOOPBACK[0]
    keys = read_api_keys(os.environ)
    if not keys and address not in _LOOPBACK:
        raise ValueError(
            f"--address {address} lets other machines in, so set API keys in "
            f"{KEYS_VARIABLE}, for example: export {KEYS_VARIABLE}=$(openssl rand "
            "-hex 24)"
        )
    has_choice = args.analyzer is not None or args.settings is not None
    config = ApiConfig(
        analyzer=options.analyzer,
        video_analyzer=(
            options.analyzer if has_choice else resolve_analyzer(AUTO, live=True)
        ),
        classifier=options.classifier,
        refine=options.refine,
        settings=options.settings,
        style=options.style,
        tiling=args.tiles,
        n_workers=args.workers,
        max_waiting=args.max_waiting,
        keys=keys,
    )
    options.print_notices()
    access = f"{len(keys)} API keys" if keys else "no API key, this machine only"
    print_line(
        f"maskdet serves http://{address}:{args.port}/openapi.json ({access})",
        to_stderr=True,
    )
    uvicorn.run(
        create_application(config),
        host=address,
        port=args.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_TIMEOUT_S,
    )
    return 0
