"""The last resort: what no page expected is one line for the visitor."""

from __future__ import annotations

import logging
import secrets
from typing import Final

from streamlit.delta_generator_singletons import get_dg_singleton_instance
from streamlit.proto.Exception_pb2 import Exception as ExceptionProto

_NOTE: Final = "reference: "
_LOGGER: Final = logging.getLogger(__name__)


def reference(error: BaseException) -> str:
    """Return what an error is called, on the page and in the log."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith(_NOTE):
            return str(note).removeprefix(_NOTE)
    made = secrets.token_hex(4)
    error.add_note(f"{_NOTE}{made}")
    return made


def log(ex: BaseException) -> None:
    """Write an error with its traceback and reference to the log."""
    _LOGGER.error("Failure %s", reference(ex), exc_info=ex)


def show(ex: BaseException) -> None:
    """Show an error to the visitor, in one line without details."""
    try:
        # Streamlit's own element for errors, so that tests of pages see it as one.
        element = ExceptionProto(message=line(ex))
        get_dg_singleton_instance().main_dg._enqueue("exception", element)
    except Exception:
        _LOGGER.exception("Failure %s could not be shown", reference(ex))


def line(error: BaseException) -> str:
    """Return what a visitor reads about an error."""
    return (
        f"Something went wrong here (reference {reference(error)}). Reload the page, "
        "or use another page. Whoever runs this server finds the cause in its log, "
        "under this reference."
    )
