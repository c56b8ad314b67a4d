"""Uploaded files: kept in memory within limits, and freed when unused."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

import streamlit as st
from streamlit import config
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from maskdet.validation import parse_whole_number
from maskdet.web.server import streamlit_patches
from maskdet.web.widgets import escape_markdown

VISITOR_LIMIT_VARIABLE: Final = "MASKDET_UPLOADS_PER_VISITOR_MB"
TOTAL_LIMIT_VARIABLE: Final = "MASKDET_UPLOADS_TOTAL_MB"

MAX_IMAGE_MB: Final = 40
"""Limit of an image file, which fits photos of phones; videos have a higher limit."""

_BYTES_PER_MB: Final = 1024 * 1024
_EXTRA_MB: Final = 100
"""Default memory of a visitor beyond one file of the largest size."""
_FILE_OVERHEAD_BYTES: Final = 1024
"""Bytes counted per file in addition to its content, as empty files use memory too."""
_CHECK_INTERVAL_BYTES: Final = _BYTES_PER_MB
"""The limits are checked once for so many bytes."""
_NAME_LENGTH: Final = 60
_USED_FILES_KEY: Final = "maskdet.uploads"

logger: Final = logging.getLogger(__name__)

_incoming_bytes: Final[Counter[str]] = Counter()
"""Received bytes of each session's incomplete requests; used in the event loop only."""


@dataclass(frozen=True)
class UploadLimits:
    """How much memory uploads may take, in MB.

    Attributes:
        visitor_mb: of one session.
        total_mb: of all sessions together.
    """

    visitor_mb: int
    total_mb: int

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], file_mb: int
    ) -> UploadLimits:
        """Read the limits from environment variables.

        Args:
            environment: may set `VISITOR_LIMIT_VARIABLE` and `TOTAL_LIMIT_VARIABLE`.
            file_mb: size limit of a file, from which the default limits are derived.

        Raises:
            ValueError: a variable is not a whole number of MB above 0; one line.
        """
        visitor_mb = _read_megabytes(
            environment, VISITOR_LIMIT_VARIABLE, file_mb + _EXTRA_MB
        )
        total_mb = _read_megabytes(environment, TOTAL_LIMIT_VARIABLE, 2 * visitor_mb)
        return cls(visitor_mb, total_mb)


def _read_megabytes(
    environment: Mapping[str, str], variable: str, default_mb: int
) -> int:
    text = environment.get(variable, "").strip()
    if not text:
        return default_mb
    return parse_whole_number(text, 1, name=variable)


def get_upload_limits() -> UploadLimits:
    """Return the limits of this server; the defaults if a variable is invalid."""
    file_mb = int(config.get_option("server.maxUploadSize"))
    try:
        return UploadLimits.from_environment(os.environ, file_mb)
    except ValueError as error:
        logger.warning("%s; using the default limits", error)
        return UploadLimits.from_environment({}, file_mb)


class IncomingUpload:
    """An upload in progress, whose bytes count towards the limits.

    Use it as a context manager, and on the event loop's thread only.
    """

    def __init__(self, session_id: str) -> None:
        """Start to count the bytes of a request.

        Args:
            session_id: ID of the visitor's session.
        """
        self._session_id = session_id
        self._n_bytes = self._n_checked = 0

    def __enter__(self) -> Self:
        """Return the upload."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop counting the request, as its file is stored or has failed."""
        _incoming_bytes.subtract({self._session_id: self._n_bytes})
        if _incoming_bytes[self._session_id] <= 0:
            del _incoming_bytes[self._session_id]

    def add(self, n_bytes: int) -> str:
        """Count received bytes; return why they are too many, or an empty string."""
        self._n_bytes += n_bytes
        _incoming_bytes[self._session_id] += n_bytes
        if self._n_bytes - self._n_checked < _CHECK_INTERVAL_BYTES:
            return ""
        self._n_checked = self._n_bytes
        return self.rejection_reason()

    def rejection_reason(self, n_more: int = 0) -> str:
        """Return why the upload is rejected, in one line; empty if it is accepted.

        Args:
            n_more: announced bytes that have not been received yet.
        """
        allowed, stored = get_upload_limits(), _count_stored_bytes()
        session_bytes = (
            stored[self._session_id] + _incoming_bytes[self._session_id] + n_more
        )
        if session_bytes > allowed.visitor_mb * _BYTES_PER_MB:
            return (
                "File rejected: all your files together may have at most "
                f"{allowed.visitor_mb} MB. Remove files or upload a smaller one."
            )
        if (
            stored.total() + _incoming_bytes.total() + n_more
            > allowed.total_mb * _BYTES_PER_MB
        ):
            return (
                "File rejected: the upload memory of this server is full. Try again in "
                "a few minutes or upload a smaller file."
            )
        return ""


def delete_abandoned_file(session_id: str, file_id: str) -> None:
    """Free a file whose visitor left during the upload; Streamlit would keep it."""
    manager = streamlit_patches.get_file_manager()
    if manager is None or streamlit_patches.is_session_active(session_id):
        return
    manager.remove_file(session_id, file_id)
    if not manager.file_storage.get(session_id):
        manager.remove_session_files(session_id)


def delete_unused_files() -> None:
    """Free files that no widget holds any more; call it at the end of a run.

    Streamlit itself keeps the files of a page until the session ends. Files that no
    widget has held yet are kept, as their upload is not complete.
    """
    context = get_script_run_ctx()
    manager = streamlit_patches.get_file_manager()
    if context is None or manager is None:
        return
    used = {file.file_id for file in _iter_widget_files()}
    for file_id in st.session_state.get(_USED_FILES_KEY, frozenset()) - used:
        manager.remove_file(context.session_id, file_id)
    st.session_state[_USED_FILES_KEY] = frozenset(used)


def reject_large_files(
    files: Iterable[UploadedFile], max_mb: int
) -> list[UploadedFile]:
    """Return the files within a size limit; show an error for each of the others.

    Args:
        files: the return value of a widget.
        max_mb: size limit of a file in MB.
    """
    accepted, messages = split_by_size(files, max_mb)
    for message in messages:
        st.error(message, icon=":material/block:")
    return accepted


def split_by_size(
    files: Iterable[UploadedFile], max_mb: int
) -> tuple[list[UploadedFile], list[str]]:
    """Return the files within a size limit, and a message for each of the others.

    The limit of a widget is enforced in the browser only.
    """
    accepted: list[UploadedFile] = []
    messages = []
    for file in files:
        if file.size <= max_mb * _BYTES_PER_MB:
            accepted.append(file)
            continue
        name = escape_markdown(file.name[-_NAME_LENGTH:])
        messages.append(
            f"{name} was rejected: it has {file.size / _BYTES_PER_MB:,.1f} MB, the "
            f"limit is {max_mb} MB. Remove it from the list."
        )
    return accepted, messages


def _iter_widget_files() -> Iterator[UploadedFile]:
    for value in st.session_state.values():
        for file in value if isinstance(value, list) else [value]:
            if isinstance(file, UploadedFile):
                yield file


def _count_stored_bytes() -> Counter[str]:
    """Return the size of each session's files in bytes."""
    manager = streamlit_patches.get_file_manager()
    # Copies, as scripts free files in other threads.
    sessions = [] if manager is None else [*manager.file_storage.items()]
    return Counter({name: _sum_bytes([*files.values()]) for name, files in sessions})


def _sum_bytes(files: Iterable[UploadedFileRec]) -> int:
    return sum(len(file.data) + len(file.name) + _FILE_OVERHEAD_BYTES for file in files)
