"""What visitors send: kept in memory, within limits, and freed when it is not used."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self, cast

import streamlit as st
from starlette.formparsers import MultiPartParser
from streamlit import config, runtime
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.RootContainer_pb2 import RootContainer
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import (
    UploadedFile,
    UploadedFileManager,
    UploadedFileRec,
)

from maskdet.web.widgets import escape_markdown

VISITOR_LIMIT_VARIABLE: Final = "MASKDET_UPLOADS_PER_VISITOR_MB"
TOTAL_LIMIT_VARIABLE: Final = "MASKDET_UPLOADS_TOTAL_MB"

MAX_IMAGE_MB: Final = 40
"""A phone's largest photo fits; the server itself takes videos too."""

_BYTES_PER_MB: Final = 1024 * 1024
_EXTRA_MB: Final = 100
"""What a visitor may send beside one largest file, unless a variable says more."""
_FILE_OVERHEAD_BYTES: Final = 1024
"""Bytes that a file takes beside its content: empty ones are not free."""
_UNLIMITED_BYTES: Final = 1 << 40
_CHECK_INTERVAL_BYTES: Final = _BYTES_PER_MB
"""After so many bytes the limits are looked at again."""
_TOAST_S: Final = 20
_NAME_LENGTH: Final = 60
_USED_FILES_KEY: Final = "maskdet.uploads"

logger: Final = logging.getLogger(__name__)

_incoming_bytes: Final[Counter[str]] = Counter()
"""Bytes of each session's requests that are not complete; the event loop's own."""


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
        """Return the limits in force.

        Args:
            environment: may say them under `VISITOR_LIMIT_VARIABLE` and
                `TOTAL_LIMIT_VARIABLE`.
            file_mb: the largest file, from which the usual limits follow.

        Raises:
            ValueError: a variable is no whole number of MB above 0; one line.
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
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"{variable} is {text!r}; wanted a whole number of MB above 0")
    return int(text)


def get_upload_limits() -> UploadLimits:
    """Return the limits of this server; with the usual ones if a variable is wrong."""
    file_mb = int(config.get_option("server.maxUploadSize"))
    try:
        return UploadLimits.from_environment(os.environ, file_mb)
    except ValueError as error:
        logger.warning("%s; the usual limits are in force", error)
        return UploadLimits.from_environment({}, file_mb)


def disable_upload_spooling() -> None:
    """Let no upload pass through a file; call it once, before pages are shown.

    Starlette, with which Streamlit receives files, writes what is larger than 1 MB to
    a nameless temporary file, reads that and lets it go.
    """
    MultiPartParser.spool_max_size = _UNLIMITED_BYTES


class IncomingUpload:
    """A request that brings a file of a visitor, while it comes in.

    Use it as a context, and on the event loop's thread only.
    """

    def __init__(self, session_id: str) -> None:
        """Begin to count the bytes of a request.

        Args:
            session_id: ID of the visitor's session.
        """
        self._session_id = session_id
        self._n_bytes = self._n_checked = 0

    def __enter__(self) -> Self:
        """Return the request."""
        return self

    def __exit__(self, *_: object) -> None:
        """Count the request no longer: its file is stored, or it failed."""
        _incoming_bytes.subtract({self._session_id: self._n_bytes})
        if _incoming_bytes[self._session_id] <= 0:
            del _incoming_bytes[self._session_id]

    def add(self, n_bytes: int) -> str:
        """Count more bytes that came in; return why they are too many, or nothing."""
        self._n_bytes += n_bytes
        _incoming_bytes[self._session_id] += n_bytes
        if self._n_bytes - self._n_checked < _CHECK_INTERVAL_BYTES:
            return ""
        self._n_checked = self._n_bytes
        return self.rejection_reason()

    def rejection_reason(self, n_more: int = 0) -> str:
        """Return why the visitor may not send more, in one line; empty if they may.

        Args:
            n_more: bytes that are still to come.
        """
        allowed, stored = get_upload_limits(), _count_stored_bytes()
        session_bytes = (
            stored[self._session_id] + _incoming_bytes[self._session_id] + n_more
        )
        if session_bytes > allowed.visitor_mb * _BYTES_PER_MB:
            return (
                f"The file was refused: all your files together may have at most "
                f"{allowed.visitor_mb} MB. Remove some, or send a smaller one."
            )
        if (
            stored.total() + _incoming_bytes.total() + n_more
            > allowed.total_mb * _BYTES_PER_MB
        ):
            return (
                "The file was refused: this server has no memory left for files at "
                "the moment. Try again in some minutes, or send a smaller one."
            )
        return ""


def show_upload_rejection(session_id: str, reason: str) -> None:
    """Show a visitor why a file was refused; on the event loop only.

    The browser itself shows no more than a number beside the file.
    """
    app_session = runtime.get_instance().get_app_session(session_id)
    if app_session is None:
        return
    message = ForwardMsg()
    message.metadata.delta_path[:] = [RootContainer.EVENT, 0]
    toast = message.delta.new_element.toast
    toast.body, toast.icon, toast.duration = reason, ":material/block:", _TOAST_S
    app_session._enqueue_forward_msg(message)


def delete_abandoned_file(session_id: str, file_id: str) -> None:
    """Free a file whose visitor left while it came in: nobody else would ever do it."""
    if runtime.get_instance().is_active_session(session_id):
        return
    manager = _get_file_manager()
    manager.remove_file(session_id, file_id)
    if not manager.file_storage.get(session_id):
        manager.remove_session_files(session_id)


def delete_unused_files() -> None:
    """Free files that a widget had and has no more; call it when a run has ended.

    Streamlit itself keeps the files of a page that was left until the visitor leaves.
    Files that no widget has had yet are still on their way.
    """
    context = get_script_run_ctx()
    if context is None:
        return
    used = {file.file_id for file in _iter_widget_files()}
    for file_id in st.session_state.get(_USED_FILES_KEY, frozenset()) - used:
        _delete_file(context.uploaded_file_mgr, context.session_id, file_id)
    st.session_state[_USED_FILES_KEY] = frozenset(used)


def reject_large_files(
    files: Iterable[UploadedFile], max_mb: int
) -> list[UploadedFile]:
    """Return the files that are small enough; show one line for each of the others.

    The limit of a widget holds in the browser only.

    Args:
        files: what a widget returned.
        max_mb: the most that a file may have, in MB.
    """
    accepted: list[UploadedFile] = []
    for file in files:
        if file.size <= max_mb * _BYTES_PER_MB:
            accepted.append(file)
            continue
        name = escape_markdown(file.name[-_NAME_LENGTH:])
        st.error(
            f"{name} was refused: it has {file.size / _BYTES_PER_MB:,.1f} MB, and at "
            "most "
            f"{max_mb} MB are accepted. Remove it from the list.",
            icon=":material/block:",
        )
    return accepted


def _iter_widget_files() -> Iterator[UploadedFile]:
    for value in st.session_state.values():
        for file in value if isinstance(value, list) else [value]:
            if isinstance(file, UploadedFile):
                yield file


def _delete_file(manager: UploadedFileManager, session_id: str, file_id: str) -> None:
    if isinstance(manager, MemoryUploadedFileManager):
        manager.remove_file(session_id, file_id)


def _get_file_manager() -> MemoryUploadedFileManager:
    return cast(MemoryUploadedFileManager, runtime.get_instance().uploaded_file_mgr)


def _count_stored_bytes() -> Counter[str]:
    """Return how much each session's files take, in bytes."""
    # Copies, as scripts free files in threads of their own.
    sessions = [*_get_file_manager().file_storage.items()]
    return Counter({name: _sum_bytes([*files.values()]) for name, files in sessions})


def _sum_bytes(files: Iterable[UploadedFileRec]) -> int:
    return sum(len(file.data) + len(file.name) + _FILE_OVERHEAD_BYTES for file in files)
