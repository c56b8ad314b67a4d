"""Fetch one file over HTTPS, whole and with the right sha256 or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

DownloadProgress = Callable[[int, int], None]
"""Called with the bytes received so far and the bytes expected."""

_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 30.0


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    n_bytes: int,
    progress: DownloadProgress | None = None,
) -> None:
    """Write what `url` gives to `target`, replacing what may lie there.

    Args:
        url: an HTTPS address; it may redirect, but only to HTTPS.
        target: appears under this name only when complete and checked.
        sha256: what the file must have, in hexadecimal.
        n_bytes: its size; reading stops with an error as soon as more comes.
        progress: called after each piece.

    Raises:
        ConnectionError: the address could not be read.
        RuntimeError: it gave another file than the one that was meant.
    """
    try:
        with _open_url(url) as source:
            write_verified(
                source, target, sha256=sha256, n_bytes=n_bytes, progress=progress
            )
    except _NETWORK_ERRORS as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionError(
            f"could not fetch {target.name} from {url} ({reason}); "
            f"check the network, or put the file into {target.parent} yourself"
        ) from None


_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    TimeoutError,
    ConnectionError,
)


def write_verified(
    source: IO[bytes],
    target: Path,
    *,
    sha256: str,
    n_bytes: int,
    progress: DownloadProgress | None = None,
) -> None:
    """Write an open stream to `target` under the same rules as `download`.

    Raises:
        RuntimeError: the stream is longer than `n_bytes` or has another sha256.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        digest = hashlib.sha256()
        received = 0
        with os.fdopen(handle, "wb") as file:
            while received <= n_bytes and (chunk := source.read(_CHUNK_BYTES)):
                received += len(chunk)
                digest.update(chunk)
                file.write(chunk)
                if progress is not None:
                    progress(received, n_bytes)
        if received > n_bytes or digest.hexdigest() != sha256:
            size = "more than" if received > n_bytes else f"{received} of"
            raise RuntimeError(
                f"what came is not {target.name}: {size} {n_bytes} bytes, sha256 "
                f"{digest.hexdigest()[:12]}..., expected {sha256[:12]}...; "
                "nothing was kept"
            )
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


class _HttpsOnlyRedirectHandler(urllib.request.HTTPRedirectHandler):
    """Refuses to be sent from HTTPS to anything weaker."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str) -> None:
    if urlsplit(url).scheme != "https":
        raise urllib.error.URLError(f"{url} is not an HTTPS address")


def _open_url(url: str) -> IO[bytes]:
    _require_https(url)
    opener = urllib.request.build_opener(_HttpsOnlyRedirectHandler())
    source: IO[bytes] = opener.open(url, timeout=_TIMEOUT_S)
    return source
