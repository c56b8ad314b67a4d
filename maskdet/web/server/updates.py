"""What a page reads between its runs, at a secret path of its session.

A component polls the path, so that figures change without a run of the page. `guard`
passes such requests to `respond`, after the checks of the host and of the login.
"""

from __future__ import annotations

import itertools
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from maskdet.log_filter import RepeatedFailureFilter
from maskdet.web.server import streamlit_patches

if TYPE_CHECKING:
    from markupsafe import Markup

logger: Final = logging.getLogger(__name__)
logger.addFilter(RepeatedFailureFilter())

PATH: Final = "/_maskdet/live/"

_HEADERS: Final = {"Cache-Control": "no-store"}
_TOKEN_BYTES: Final = 24

_run_numbers: Final = itertools.count(1)


@dataclass(frozen=True, eq=False)
class PublishedRun:
    """What one run of a page has published.

    Attributes:
        number: differs from that of every other run on this server.
        parts: HTML of each part of the page at that time.
        render_parts: returns their current HTML.
        must_run: returns whether the page has to run again, to show what else has
            changed.
    """

    number: int
    parts: Mapping[str, Markup]
    render_parts: Callable[[], Mapping[str, Markup]]
    must_run: Callable[[], bool]


class PageUpdates:
    """The updates of the page of one session; its path ends with the session.

    Keep it in the session's state: the path is unknown once nothing refers to it.
    """

    def __init__(self, session_id: str) -> None:
        """Begin without a run of the page, with a new path.

        Args:
            session_id: whose page it is.
        """
        self.session_id = session_id
        self._token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._run: PublishedRun | None = None
        _updates[self._token] = self

    @property
    def url(self) -> str:
        """Path on this server at which the browser reads the updates."""
        return streamlit_patches.get_base_path() + PATH + self._token

    def publish(
        self,
        render_parts: Callable[[], Mapping[str, Markup]],
        must_run: Callable[[], bool],
    ) -> PublishedRun:
        """Replace what the last run of the page has published.

        Both functions are called in other threads, without a session.

        Args:
            render_parts: see `PublishedRun`, also for the next one.
            must_run: must be quick and hold no lock for long.
        """
        number = next(_run_numbers)
        self._run = PublishedRun(number, render_parts(), render_parts, must_run)
        return self._run

    def read(self) -> str | None:
        """Return the current updates as JSON; None before the first run."""
        run = self._run  # the next run of the page may replace it meanwhile
        if run is None:
            return None
        return json.dumps(
            {
                "run": run.number,
                "must_run": run.must_run(),
                "parts": {**run.render_parts()},
            }
        )


_updates: Final[WeakValueDictionary[str, PageUpdates]] = WeakValueDictionary()
"""The updates of all sessions by token, none of which a visitor can guess."""


async def respond(scope: Scope) -> Response | None:
    """Return the response to a request for updates; None if it is for another path.

    Args:
        scope: see the ASGI specification.
    """
    prefix = streamlit_patches.get_base_path() + PATH
    if not scope["path"].startswith(prefix):
        return None
    if scope["method"] != "GET":
        return PlainTextResponse("Only GET.\n", 405, {**_HEADERS, "Allow": "GET"})
    updates = _updates.get(scope["path"].removeprefix(prefix))
    if updates is None or not streamlit_patches.is_session_active(updates.session_id):
        return _make_unknown()
    try:
        # In a thread, as the event loop also sends the video of all viewers.
        content = await run_in_threadpool(updates.read)
    except Exception as error:
        logger.error("updates failed", exc_info=error, extra={"source": updates})
        return PlainTextResponse("No update.\n", 500, _HEADERS)
    if content is None:
        return _make_unknown()
    return Response(content, headers=_HEADERS, media_type="application/json")


def _make_unknown() -> Response:
    return PlainTextResponse("This session has ended.\n", 404, _HEADERS)
