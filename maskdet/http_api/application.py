"""The HTTP application: routes, authentication and errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from maskdet import __version__
from maskdet.analyzers.pipelines import ANALYZERS, describe_pipeline
from maskdet.http_api.bodies import receive_files
from maskdet.http_api.config import (
    MAX_IMAGES,
    MAX_REQUEST_MB,
    MAX_VIDEO_MB,
    ApiConfig,
    ServerBusyError,
)
from maskdet.http_api.metrics import CONTENT_TYPE, RequestTimer
from maskdet.http_api.queries import ImageQuery, VideoQuery
from maskdet.http_api.server import ENCODERS, ApiServer
from maskdet.http_api.videos import SubmittedVideo
from maskdet.http_api.workers import AnalyzerUnavailableError
from maskdet.media import IMAGE_FORMATS
from maskdet.model_files.model_zoo import MODEL_FILES, model_path
from maskdet.results_io import RESULTS_VERSION
from maskdet.serving.access import is_loopback, is_same_origin, parse_host

_BINARY: Final = {"type": "string", "format": "binary"}

_EXAMPLE: Final = {
    "version": RESULTS_VERSION,
    "images": [
        {
            "path": "a.jpg",
            "width": 640,
            "height": 480,
            "error": None,
            "faces": [
                {
                    "box": [10.0, 20.0, 50.0, 70.0],
                    "score": 0.98,
                    "label": "mask",
                    "probs": {"mask": 0.97, "no_mask": 0.02, "incorrect": 0.01},
                }
            ],
        }
    ],
}


def create_application(config: ApiConfig) -> FastAPI:
    """Return the ASGI application of a configuration.

    Its state `server` is the `ApiServer`, whose models are loaded before or at first
    use.
    """
    server = ApiServer(config)

    @asynccontextmanager
    async def run_server(application: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            server.close()

    middleware = [Middleware(RequestTimer, metrics=server.metrics)]
    if not config.keys:
        middleware.append(Middleware(_LocalAccess))
    application = FastAPI(
        title="maskdet",
        version=__version__,
        summary="Who wears a face mask, who does not, and who wears it incorrectly.",
        lifespan=run_server,
        # Their pages load scripts from other servers.
        docs_url=None,
        redoc_url=None,
        middleware=middleware,
    )
    application.state.server = server
    application.add_exception_handler(RequestValidationError, _respond_invalid_query)
    application.add_exception_handler(ServerBusyError, _respond_busy)
    application.add_exception_handler(AnalyzerUnavailableError, _respond_unavailable)
    _add_image_routes(application, server)
    _add_video_routes(application, server)
    _add_information_routes(application, server)
    return application


class _LocalAccess:
    """ASGI middleware: no page of another site gets through to this machine.

    Such a page has its own name as the host (DNS rebinding), or its own origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host"), headers.get("origin")
            parsed = parse_host(host)
            if parsed is None or not is_loopback(parsed.name):
                message = "without API keys only localhost has access"
                app = JSONResponse({"detail": message}, 400)
            elif origin is not None and not is_same_origin(origin, host):
                message = "pages of other sites have no access"
                app = JSONResponse({"detail": message}, 403)
        await app(scope, receive, send)


async def _authenticate(request: Request) -> str:
    """Return the ID of the caller.

    Raises:
        HTTPException: 401, no accepted key was sent.
    """
    server: ApiServer = request.app.state.server
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else ""
    caller = server.config.identify_caller(key or request.headers.get("x-api-key", ""))
    if caller is None:
        raise HTTPException(
            401,
            "send an API key in the header `Authorization: Bearer KEY`",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return caller


Caller = Annotated[str, Depends(_authenticate)]


def _find_video(request: Request, video_id: str, caller: Caller) -> SubmittedVideo:
    """Return a video of the caller.

    Raises:
        HTTPException: 404, there is none.
    """
    server: ApiServer = request.app.state.server
    video = server.videos.find(video_id, caller)
    if video is None:
        raise HTTPException(404, "there is no such video, or it was deleted")
    return video


FoundVideo = Annotated[SubmittedVideo, Depends(_find_video)]


def _respond_invalid_query(request: Request, error: Exception) -> Response:
    """Respond with one line for the first invalid parameter."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])
    if first["type"] == "extra_forbidden":
        message = f"unknown parameter {name!r}; /openapi.json lists those of each path"
    else:
        message = f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return JSONResponse({"detail": message}, 422)


def _respond_unavailable(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503)


def _respond_busy(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServerBusyError)
    server: ApiServer = request.app.state.server
    server.metrics.refused.inc()
    headers = {"Retry-After": str(error.retry_after_s)}
    return JSONResponse({"detail": str(error)}, 429, headers=headers)


def _describe_body(media_types: list[str], *, several: bool) -> dict[str, Any]:
    """Return the OpenAPI description of a body that FastAPI does not read itself."""
    field = (
        {"files": {"type": "array", "items": _BINARY}} if several else {"file": _BINARY}
    )
    content: dict[str, Any] = {name: {"schema": _BINARY} for name in media_types}
    content["multipart/form-data"] = {"schema": {"type": "object", "properties": field}}
    return {"requestBody": {"required": True, "content": content}}


def _add_image_routes(application: FastAPI, server: ApiServer) -> None:
    @application.post(
        "/v1/images",
        summary="Analyze images",
        description="Send one image as the body, or up to "
        f"{MAX_IMAGES} images as multipart/form-data, {MAX_REQUEST_MB} MB in all. "
        f"Formats: {IMAGE_FORMATS}. The response is the JSON of `maskdet detect "
        "--json`, with the images in the order of the request; an image that cannot be "
        "read has an `error`. With `Accept: image/jpeg` or `image/png`, it is "
        "the annotated image.",
        responses={
            200: {
                "content": {
                    "application/json": {"example": _EXAMPLE},
                    **{name: {"schema": _BINARY} for name in ENCODERS},
                }
            },
            422: {"description": "A parameter or the only image is invalid."},
            429: {"description": "Too many images wait; see Retry-After."},
            503: {"description": "This server cannot load the analyzer."},
        },
        openapi_extra=_describe_body(["image/*"], several=True),
        response_model=None,
    )
    async def analyze_images(
        request: Request, query: Annotated[ImageQuery, Query()], caller: Caller
    ) -> Response:
        media_type = _negotiate(request.headers.get("accept", ""))
        server.workers.check_room(1)
        async with receive_files(
            request,
            server.received,
            max_bytes=MAX_REQUEST_MB * 1_000_000,
            max_files=MAX_IMAGES if media_type is None else 1,
        ) as files:
            images = await server.analyze_images(files, query, media_type)
        records = [image.record for image in images]
        if len(records) == 1 and records[0]["error"]:
            raise HTTPException(422, records[0]["error"])
        if media_type is not None:
            return Response(images[0].annotated, media_type=media_type)
        return JSONResponse({"version": RESULTS_VERSION, "images": records})


def _negotiate(accept: str) -> str | None:
    """Return the first image type that the client accepts; None for JSON."""
    for part in accept.split(","):
        media_type = part.partition(";")[0].strip().lower()
        if media_type in ENCODERS:
            return media_type
        if media_type in ("application/json", "*/*"):
            return None
    return None


def _add_video_routes(application: FastAPI, server: ApiServer) -> None:
    @application.post(
        "/v1/videos",
        status_code=202,
        summary="Start the analysis of a video",
        description=f"Send one video of at most {MAX_VIDEO_MB} MB as the body or as "
        "multipart/form-data. The response has the `id` for the other requests. The "
        "video and its results are deleted "
        f"{server.config.keep_results_s / 60:.0f} minutes after the end.",
        responses={429: {"description": "Too many videos wait; see Retry-After."}},
        openapi_extra=_describe_body(["video/*"], several=False),
        response_model=None,
    )
    async def submit_video(
        request: Request, query: Annotated[VideoQuery, Query()], caller: Caller
    ) -> Response:
        max_bytes = MAX_VIDEO_MB * 1_000_000
        with server.videos.reserve(caller):
            async with receive_files(
                request, server.received, max_bytes=max_bytes, max_files=1
            ) as files:
                try:
                    video = await run_in_threadpool(
                        server.submit_video, files[0], query, caller
                    )
                except OSError:
                    raise HTTPException(
                        507, "this server has no room for the video"
                    ) from None
        url = f"/v1/videos/{video.video_id}"
        return JSONResponse(video.describe(), 202, headers={"Location": url})

    @application.get("/v1/videos/{video_id}", summary="State, progress and report")
    def describe_video(video: FoundVideo) -> dict[str, Any]:
        return video.describe()

    @application.get("/v1/videos/{video_id}/annotated", summary="The annotated video")
    def download_video(video: FoundVideo) -> FileResponse:
        path = video.job.annotated_path
        if path is None or not path.is_file():
            raise HTTPException(409, "there is no annotated video (yet)")
        return FileResponse(path, media_type="video/mp4", filename="annotated.mp4")

    @application.get(
        "/v1/videos/{video_id}/rows", summary="Each person in each frame as CSV"
    )
    def download_rows(video: FoundVideo) -> FileResponse:
        if video.job.report is None or not video.job.rows_path.is_file():
            raise HTTPException(409, "there are no rows (yet)")
        return FileResponse(
            video.job.rows_path, media_type="text/csv", filename="rows.csv"
        )

    @application.post(
        "/v1/videos/{video_id}/stop", summary="Stop, and keep the result up to here"
    )
    def stop_video(video: FoundVideo) -> dict[str, Any]:
        video.job.stop()
        return video.describe()

    @application.delete(
        "/v1/videos/{video_id}", status_code=204, summary="Cancel and delete everything"
    )
    def delete_video(video: FoundVideo) -> None:
        server.videos.delete(video)


def _add_information_routes(application: FastAPI, server: ApiServer) -> None:
    @application.get("/v1/models", summary="Analyzers and model files")
    def list_models(caller: Caller) -> dict[str, Any]:
        config = server.config
        return {
            "analyzer": config.analyzer,
            "video_analyzer": config.video_analyzer,
            "analyzers": [
                {
                    "name": name,
                    "description": ANALYZERS[name],
                    "pipeline": describe_pipeline(
                        name, config.classifier, refine=config.refine
                    ),
                }
                for name in ANALYZERS
            ],
            "files": [
                {"name": name, "sha256": file.sha256, "is_present": _is_present(name)}
                for name, file in MODEL_FILES.items()
            ],
        }

    @application.get("/healthz", summary="Whether the server is ready")
    def check_health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    @application.get("/metrics", summary="Metrics in the format of Prometheus")
    def format_metrics(caller: Caller) -> Response:
        return Response(server.metrics.format_text(), media_type=CONTENT_TYPE)


def _is_present(name: str) -> bool:
    try:
        model_path(name)
    except (FileNotFoundError, RuntimeError):
        return False
    return True
