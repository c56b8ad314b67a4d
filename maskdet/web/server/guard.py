"""Middleware of the dashboard: host check, login, updates, upload limits, headers."""

from __future__ import annotations

import asyncio
import functools
import os
import re
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from maskdet.serving import access
from maskdet.web import metrics
from maskdet.web.server import login, static_files, streamlit_patches, updates, uploads
from maskdet.web.server.preload import format_preload_header

FRAME_ANCESTORS_VARIABLE: Final = "MASKDET_FRAME_ANCESTORS"
"""Origins, separated by spaces, whose pages may embed the dashboard in a frame."""

_FRAME_ORIGIN: Final = re.compile(r"https?://(\*\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_UPLOAD_TIMEOUT_S: Final = 60.0
"""An upload is aborted if no data arrives for this time."""


def guard_server() -> None:
    """Let this module check every request and connection of the server."""
    streamlit_patches.guard_requests(handle_request)
    streamlit_patches.check_connections(is_allowed_host, is_allowed_connection)


async def handle_request(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Check a request, then reject it or pass it on to the app.

    Args:
        app: the rest of the server.
        scope: see the ASGI specification, also for the next two.
        receive: returns the next part of the request.
        send: sends the next part of the response.
    """
    if scope["type"] == "websocket":
        await _connect(app, scope, receive, send)
        return
    if scope["type"] != "http":
        await app(scope, receive, send)
        return

    started = False

    async def send_with_headers(message: Message) -> None:
        nonlocal started
        if message["type"] == "http.response.start":
            started = True
            MutableHeaders(scope=message).update(_get_security_headers())
        await send(message)

    try:
        await _dispatch_request(app, scope, receive, send_with_headers)
    except asyncio.CancelledError:  # the server is shutting down
        if not started:
            response = PlainTextResponse("The server was stopped.\n", 503)
            await response(scope, receive, send_with_headers)


async def _connect(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass on a web socket; `is_allowed_connection` checks its host and origin."""
    if not login.is_admitted(Headers(scope=scope).items()):
        await send({"type": "websocket.close", "code": 1008})
        return
    with metrics.SESSIONS.track_inprogress():
        await app(scope, receive, send)


async def _dispatch_request(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    headers = Headers(scope=scope)
    response = await _respond_without_app(scope, receive, headers)
    if response is not None:
        await response(scope, receive, send)
        return
    match = streamlit_patches.UPLOAD_PATH.search(scope["path"])
    if match and scope["method"] == "PUT":
        await _receive_file(app, scope, receive, send, *match.groups())
    else:
        send_page = functools.partial(_send_with_preloads, scope["path"], send)
        await app(scope, receive, send_page)


async def _send_with_preloads(path: str, send: Send, message: Message) -> None:
    """Send a part of a response; to a page of the dashboard, add what it needs soon."""
    base_path = streamlit_patches.get_base_path()
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        is_html = headers.get("content-type", "").startswith("text/html")
        links = format_preload_header(base_path)
        # The pages of components, in frames, are others.
        if is_html and links and not path.startswith(f"{base_path}/component/"):
            headers["Link"] = links
    await send(message)


async def _respond_without_app(
    scope: Scope, receive: Receive, headers: Headers
) -> Response | None:
    """Return the response to what Streamlit does not know, if it is not for the app.

    That is an unknown host, Prometheus, a login, a page that reads its updates, and
    Streamlit's code.
    """
    host = _get_single_header(headers, "host")
    if not is_allowed_host(host):
        return PlainTextResponse(_format_unknown_host(headers), status_code=403)
    if scope["path"] == streamlit_patches.get_base_path() + metrics.PATH:
        client = scope.get("client") or (None,)
        if metrics.may_read(headers.items(), client[0]):
            return Response(metrics.format_text(), media_type=metrics.CONTENT_TYPE)
        return PlainTextResponse(metrics.REFUSAL, 403)
    origin = _get_single_header(headers, "origin")
    response = await login.respond_to_login(
        scope, receive, is_own_page=is_allowed_connection(origin, host)
    )
    response = response or await updates.respond(scope)
    return response or await static_files.respond_with_code(scope)


def is_allowed_host(host: str | None) -> bool:
    """Return whether this server accepts requests with a header `Host`."""
    return access.is_accepted_host(host, config.get_option("server.allowedHosts"))


def is_allowed_connection(origin: str | None, host: str | None) -> bool:
    """Return whether a page may open the web socket of the app.

    Unlike Streamlit's own check, it does not look up this server's addresses.

    Args:
        origin: the header `Origin`; browsers always send it, programs need not.
        host: the header `Host`.
    """
    if not is_allowed_host(host):
        return False
    if origin is None or not config.get_option("server.enableCORS"):
        return True
    return access.is_same_origin(origin, host) or access.is_allowed_origin(
        origin, _get_public_origins()
    )


def is_public_server() -> bool:
    """Return whether the server has a name or an origin for other machines.

    Such a server is behind a proxy.
    """
    names: list[str] = config.get_option("server.allowedHosts")
    return bool(_get_public_origins()) or any(
        not access.is_loopback(name.strip("[] ").lower()) for name in names
    )


def get_frame_ancestors(environment: Mapping[str, str] = os.environ) -> str:
    """Return the `frame-ancestors` directive of the Content-Security-Policy header.

    Args:
        environment: may list origins under `FRAME_ANCESTORS_VARIABLE`.

    Raises:
        ValueError: an entry is not an origin; the message is one line.
    """
    origins = environment.get(FRAME_ANCESTORS_VARIABLE, "").replace(",", " ").split()
    for origin in origins:
        if not _FRAME_ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{FRAME_ANCESTORS_VARIABLE} has {origin!r}; accepted are origins such "
                "as https://example.org, separated by spaces"
            )
    return " ".join(["frame-ancestors 'self'", *origins])


def _get_public_origins() -> list[str]:
    """Return the configured origins beside the server's own host."""
    origins = [*config.get_option("server.corsAllowedOrigins")]
    if streamlit_patches.is_manually_set("browser.serverAddress"):
        address = str(config.get_option("browser.serverAddress"))
        host = access.parse_host(address)
        if host is not None and not access.is_loopback(host.name):
            port = config.get_option("browser.serverPort")
            origins += [f"http://{address}", f"https://{address}", f"{address}:{port}"]
    return origins


def _get_security_headers() -> dict[str, str]:
    try:
        ancestors = get_frame_ancestors()
    except ValueError:  # the launcher reports it; until it is fixed, deny all origins
        ancestors = "frame-ancestors 'self'"
    return {
        "Content-Security-Policy": ancestors,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }


def _get_single_header(headers: Headers, name: str) -> str | None:
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else None


def _format_unknown_host(headers: Headers) -> str:
    name = (_get_single_header(headers, "host") or "")[:100]
    return (
        f"This server does not accept the host name {name!r}. If the name is correct, "
        "the administrator can allow it: maskdet app --allow-host NAME, or "
        "STREAMLIT_SERVER_ALLOWED_HOSTS.\n"
    )


async def _receive_file(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    session_id: str,
    file_id: str,
) -> None:
    """Receive an uploaded file, unless it exceeds the upload limits."""
    length = Headers(scope=scope).get("content-length", "")
    with uploads.IncomingUpload(session_id) as upload:

        async def receive_counted() -> Message:
            try:
                message = await asyncio.wait_for(receive(), _UPLOAD_TIMEOUT_S)
            except TimeoutError:
                raise HTTPException(408, "The upload timed out.") from None
            reason = upload.add(len(message.get("body", b"")))
            if reason:
                streamlit_patches.show_toast(session_id, reason)
                raise HTTPException(413, reason)
            return message

        reason = upload.rejection_reason(int(length) if length.isdecimal() else 0)
        if reason:
            streamlit_patches.show_toast(session_id, reason)
            await PlainTextResponse(reason, 413)(scope, receive, send)
            return
        await app(scope, receive_counted, send)
    uploads.delete_abandoned_file(session_id, file_id)
