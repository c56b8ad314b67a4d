"""The images of a visitor: kept while other pages are open, also from a zip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from maskdet.datasets.archives import ArchiveLimits, DatasetError, ZipFiles
from maskdet.media.image_formats import looks_like_image
from maskdet.web.image.cache import MAX_IMAGES, ImageCache, SourceImage
from maskdet.web.image.results import shorten_name
from maskdet.web.server.uploads import MAX_IMAGE_MB, split_by_size
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count

MAX_ZIP_MB: Final = 400
"""Limit of a zip of images."""

_ZIP_SIGNATURE: Final = b"PK\x03\x04"
_ZIP_LIMITS: Final = ArchiveLimits(max_files=5000)
_IMAGES_KEY: Final = "image.uploads"
_FILES_KEY: Final = "image.uploaded_files"
_SELECTED_KEY: Final = "image.selected"
_NOTES_KEY: Final = "image.notes"
_ROUND_KEY: Final = "image.round"


@dataclass(frozen=True, eq=False)
class UploadedImage:
    """An image of a visitor.

    Attributes:
        source: the image.
        file: the upload that contains it: the image itself, or a zip.
    """

    source: SourceImage
    file: UploadedFile


def get_uploads() -> list[UploadedImage]:
    """Return the images of this visitor."""
    uploads: list[UploadedImage] = st.session_state.setdefault(_IMAGES_KEY, [])
    return uploads


def get_upload_notes() -> Sequence[str]:
    """Return what was wrong with the latest files, a line each."""
    notes: list[str] = st.session_state.get(_NOTES_KEY, [])
    return notes


def get_selected_index(n_images: int) -> int:
    """Return the index of the image that the page shows."""
    return min(int(st.session_state.get(_SELECTED_KEY, 0)), n_images - 1)


def select_upload(index: int) -> None:
    """Show another image."""
    st.session_state[_SELECTED_KEY] = index


def remove_upload(index: int) -> None:
    """Forget one image."""
    uploads, selected = get_uploads(), st.session_state.get(_SELECTED_KEY, 0)
    select_upload(max(0, selected - (index < selected)))
    _store(uploads[:index] + uploads[index + 1 :], [])


def clear_uploads() -> None:
    """Forget all images."""
    _store([], [])


def get_widget_key(name: str) -> str:
    """Return the key of an upload widget; a new one begins empty after each upload."""
    return f"image.{name}.{st.session_state.setdefault(_ROUND_KEY, 0)}"


def keep_uploads(key: str, cache: ImageCache) -> None:
    """Move the files of a widget to those of the visitor; call it when they change.

    Args:
        key: key of the widget.
        cache: of the session.
    """
    value: list[UploadedFile] | UploadedFile | None = st.session_state[key]
    files = value if isinstance(value, list) else [value] if value else []
    added: list[UploadedImage] = []
    notes: list[str] = []
    for file in files:
        images, file_notes = _expand_file(file, cache)
        added += images
        notes += file_notes
    uploads = get_uploads()
    n_free = MAX_IMAGES - len(uploads)
    if len(added) > n_free:
        notes.append(
            f"{len(uploads) + len(added)} images are too many: the last "
            f"{len(added) - n_free} were left out, as {MAX_IMAGES} are kept at "
            "once. Remove some to add others."
        )
    if added[:n_free]:
        select_upload(len(uploads))
    _store([*uploads, *added[:n_free]], notes)
    st.session_state[_ROUND_KEY] += 1


def _store(uploads: list[UploadedImage], notes: list[str]) -> None:
    st.session_state[_IMAGES_KEY] = uploads
    st.session_state[_NOTES_KEY] = notes
    # Files in a list of the session count as used; others are deleted after the run.
    by_id = {upload.file.file_id: upload.file for upload in uploads}
    st.session_state[_FILES_KEY] = list(by_id.values())


def _expand_file(
    file: UploadedFile, cache: ImageCache
) -> tuple[list[UploadedImage], list[str]]:
    """Return the images of a file, and notes on what is left out."""
    content = file.getvalue()
    is_zip = content.startswith(_ZIP_SIGNATURE)
    accepted, notes = split_by_size([file], MAX_ZIP_MB if is_zip else MAX_IMAGE_MB)
    if not accepted:
        return [], notes
    if not is_zip:
        source = cache.add_file(file.name, content, file_id=file.file_id)
        return [UploadedImage(source, file)], []
    name = escape_markdown(shorten_name(file.name))
    try:
        archive = ZipFiles(content, _ZIP_LIMITS)
    except DatasetError as error:
        return [], [f"{name}: {escape_markdown(str(error))}."]
    notes = [f"{name}: {escape_markdown(note)}." for note in archive.notes]
    members = [
        member
        for member in archive.names
        if looks_like_image(member, archive.read_head(member))
    ]
    if n_skipped := len(archive.names) - len(members):
        notes.append(f"{name}: {format_count(n_skipped, 'file')} without an image.")
    max_bytes = MAX_IMAGE_MB * 1024 * 1024
    sources = [
        SourceImage(
            member, partial(archive.read, member, max_bytes), f"{file.file_id}/{member}"
        )
        for member in members
    ]
    return [UploadedImage(source, file) for source in sources], notes
