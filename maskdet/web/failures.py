"""The last resort: what no page expected is one line for the visitor."""

from __future__ import annotations

import logging
import secrets
from typing import Final

from streamlit.delta_generator_singletons import get_dg_singleton_instance
from streamlit.proto.Exception_pb2 import Exception as ExceptionProto

_REFERENCE_PREFIX: Final = "reference: "
logger: Final = logging.getLogger(__name__)


def get_error_reference(error: BaseException) -> str:
    """Return what an error is called, on the page and in the log."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith(_REFERENCE_PREFIX):
            return str(note).removeprefix(_REFERENCE_PREFIX)
    new_reference = secrets.token_hex(4)
    error.add_note(f"{_REFERENCE_PREFIX}{new_reference}")
    return new_reference


def log_error(ex: BaseException) -> None:
    """Write an error with its traceback and reference to the log."""
    logger.error("Failure %s", get_error_reference(ex), exc_info=ex)


def render_error(ex: BaseException) -> None:
    """Show an error to the visitor, in one line without details."""
    try:
        # Streamlit's own element for errors, so that tests of pages see it as one.
        element = ExceptionProto(message=format_unexpected_error(ex))
        get_dg_singleton_instance().main_dg._enqueue("exception", element)
    except Exception:
        logger.exception("Failure %s could not be shown", get_error_reference(ex))


def format_unexpected_error(error: BaseException) -> str:
    """Return what a visitor reads about an error."""
    return (
        f"Something went wrong here (reference {get_error_reference(error)}). Reload "
        "the page, "
        "or use another page. Whoever runs this server finds the cause in its log, "
        "under this reference."
    )
