"""HTTP sessions of webhooks and downloads: certificates, proxies and error messages."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import RequestException, Session


def open_http_session() -> Session:
    """Return a session for one request and its redirects.

    It uses the proxies of the environment and trusts the certificates of the system,
    also those of a company. It sends no password that the caller did not pass: hosts
    come from visitors and from redirects, so `.netrc` is not read.
    """
    # Imported here to save 50 ms of `import maskdet`.
    import ssl

    from requests import Session
    from requests.adapters import HTTPAdapter

    session = Session()
    # The proxies need `trust_env`, which also reads `.netrc`, but not for a session
    # with an authentication of its own. This one adds nothing.
    session.auth = lambda request: request
    context = ssl.create_default_context()
    adapter = HTTPAdapter()
    adapter.init_poolmanager(1, 1, ssl_context=context)
    adapter.proxy_manager_for = functools.partial(  # type: ignore[method-assign]
        adapter.proxy_manager_for, ssl_context=context
    )
    session.mount("https://", adapter)
    return session


def describe_http_error(error: RequestException) -> str:
    """Return why a request failed, without its URL, which may contain a secret."""
    # requests and urllib3 wrap the error of the socket several times.
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) else None
    return reason or type(cause).__name__
