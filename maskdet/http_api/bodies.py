"""Bodies of requests: received into memory, within limits of size and time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from maskdet.http_api.config import MAX_RECEIVED_MB, ServerBusyError

RECEIVE_TIMEOUT_S: Final = 120.0
"""Time in which the body of a request must arrive."""

_MULTIPART: Final = "multipart/form-data"

_RETRY_AFTER_S: Final = 5
"""After this time a request may be sent again if too much is received."""


class ReceivedFile(NamedTuple):
    """A file of a request.

    Attributes:
        name: file name that the client gave; untrusted, and empty for a plain body.
        content: the bytes.
    """

    name: str
    content: bytes


class ReceivedBytes:
    """Size of the bodies that one server has in memory, which is limited.

    Attributes:
        n: number of bytes.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.n = 0

    def add(self, n: int) -> None:
        """Add bytes that were received.

        Raises:
            ServerBusyError: these are too many.
        """
        self.n += n
        if self.n > MAX_RECEIVED_MB * 1_000_000:
            raise ServerBusyError(
                f"too much is received; try again in {_RETRY_AFTER_S} s", _RETRY_AFTER_S
            )


class _MemoryParser(MultiPartParser):
    """Keeps files in memory; Starlette's own writes those above 1 MB to a disk."""

    spool_max_size = 2**40


@asynccontextmanager
async def receive_files(
    request: Request, received: ReceivedBytes, *, max_bytes: int, max_files: int
) -> AsyncIterator[list[ReceivedFile]]:
    """Receive the files of a `multipart/form-data` request, or its body as one file.

    They count as `received` until the context ends.

    Raises:
        HTTPException: 413 too large, 408 too slow, 400 not valid multipart or not
            complete, or 422 no file, more than `max_files` or something else.
        ServerBusyError: the server receives too much.
    """
    n_own = 0

    async def count() -> AsyncGenerator[bytes, None]:
        nonlocal n_own
        async for chunk in _limit_stream(request, max_bytes):
            n_own += len(chunk)
            received.add(len(chunk))
            yield chunk

    try:
        yield await _receive_files(request, count(), max_files)
    finally:
        received.n -= n_own


async def _receive_files(
    request: Request, stream: AsyncGenerator[bytes, None], max_files: int
) -> list[ReceivedFile]:
    content_type = request.headers.get("content-type", "").lower()
    try:
        async with asyncio.timeout(RECEIVE_TIMEOUT_S):
            if content_type.startswith(_MULTIPART):
                files = await _parse_multipart(request, stream, max_files)
            else:
                body = io.BytesIO()  # it does not copy its content at the end
                async for chunk in stream:
                    body.write(chunk)
                files = [ReceivedFile("", body.getvalue())] if body.tell() else []
    except TimeoutError:
        raise HTTPException(
            408, f"the request did not arrive within {RECEIVE_TIMEOUT_S:.0f} s"
        ) from None
    except ClientDisconnect:
        raise HTTPException(400, "the request ended too early") from None
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise _too_many_files(max_files) from None
        if "Too many fields" in error.message:
            raise HTTPException(
                422, "send only files in the body; parameters belong in the URL"
            ) from None
        raise HTTPException(400, f"not valid {_MULTIPART}: {error.message}") from None
    if not files:
        raise HTTPException(
            422, f"no file: send it as the body, or several as {_MULTIPART}"
        )
    return files


async def _limit_stream(
    request: Request, max_bytes: int
) -> AsyncGenerator[bytes, None]:
    announced = request.headers.get("content-length", "")
    n_received = int(announced) if announced.isdecimal() else 0
    if n_received <= max_bytes:
        n_received = 0
        async for chunk in request.stream():
            n_received += len(chunk)
            if n_received > max_bytes:
                break
            yield chunk
    if n_received > max_bytes:
        raise HTTPException(
            413, f"the request is larger than {max_bytes / 1e6:.0f} MB; send less"
        )


async def _parse_multipart(
    request: Request, stream: AsyncGenerator[bytes, None], max_files: int
) -> list[ReceivedFile]:
    parser = _MemoryParser(request.headers, stream, max_files=max_files, max_fields=0)
    form = await parser.parse()
    files = []
    for _, part in form.multi_items():
        if isinstance(part, UploadFile):
            files.append(ReceivedFile(part.filename or "", await part.read()))
            await part.close()  # frees its own copy
    return files


def _too_many_files(max_files: int) -> HTTPException:
    files = "one file" if max_files == 1 else f"at most {max_files} files"
    return HTTPException(422, f"too many files: send {files} in a request")
