"""Model files: read the manifest, find files on disk, verify and download them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import platformdirs

from maskdet.atomic_file import AtomicFile
from maskdet.http_session import describe_http_error, open_http_session
from maskdet.resources import resource_path
from maskdet.validation import parse_json_object

MANIFEST_NAME: Final = "manifest.json"

MANIFEST_FILE: Final = resource_path(f"models/{MANIFEST_NAME}")
"""The manifest of all known model files."""

_MANIFEST_VERSION: Final = 1

_MANIFEST_FIELDS: Final = {
    "name": str,
    "file": str,
    "sha256": str,
    "bytes": int,
    "licence": str,
    "url": str,
    "note": str,
    "ships": bool,
    "also": list,
}
"""Fields of each row and their types, in the order in which they are written."""

DownloadProgress = Callable[[int, int], None]
"""Function that is called with the number of bytes received and expected."""

_CHUNK_BYTES = 1 << 16

_TIMEOUT_S = 30.0

_MAX_REDIRECTS = 10

MODEL_DIR_VARIABLE = "MASKDET_MODEL_DIR"
"""Environment variable with a folder of model files that are not bundled: those of
other projects, and the user's own (see `maskdet.model_files.own_models`)."""

_checksums: dict[tuple[Path, int, int], str] = {}


@dataclass(frozen=True)
class ModelFile:
    """One model file.

    Attributes:
        name: its name in `model_path` and `maskdet models fetch`.
        file_name: its name on disk, in every folder that is searched.
        sha256: of the whole file, in hexadecimal.
        n_bytes: its exact size; a larger download is aborted.
        licence: SPDX identifier of its licence.
        url: HTTPS URL at its publisher; empty for a file of this project. It names a
            commit, so that the content cannot change.
        note: description in one sentence.
        is_bundled: whether it is committed to this project under `models/`.
        requires: names of other files that this one needs.
    """

    name: str
    file_name: str
    sha256: str
    n_bytes: int
    licence: str
    url: str
    note: str
    is_bundled: bool = False
    requires: tuple[str, ...] = ()


def read_manifest(path: Path = MANIFEST_FILE) -> dict[str, ModelFile]:
    """Return the model files that a manifest lists, by name.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a manifest; the message names the row and the field.
    """
    model_files: dict[str, ModelFile] = {}
    for number, row in enumerate(_read_rows(path), 1):
        try:
            model_file = _parse_row(row)
            if model_file.name in model_files:
                raise ValueError(f"duplicate name {model_file.name!r}")
        except ValueError as error:
            raise ValueError(f"{path}: file {number}: {error}") from None
        model_files[model_file.name] = model_file
    for model_file in model_files.values():
        if not set(model_file.requires) <= set(model_files):
            raise ValueError(
                f"{path}: {model_file.name}: also must name files of the manifest, "
                f"not {list(model_file.requires)}"
            )
    return model_files


def pin_checksum(path: Path, name: str, sha256: str, n_bytes: int) -> None:
    """Write size and sha256 of a file of this project into a manifest.

    A name that is not in the manifest is added.

    Args:
        path: the manifest to change; the model file is in the same folder.
        name: name of the model file, without `.tflite`.
        sha256: of the whole file, in hexadecimal.
        n_bytes: its size.

    Raises:
        FileNotFoundError: the manifest does not exist.
        ValueError: it is not a manifest, or a value is invalid.
        OSError: it cannot be written.
    """
    read_manifest(path)
    rows = _read_rows(path)
    new_row = {
        "name": name,
        "file": f"{name}.tflite",
        "licence": "Apache-2.0",
        "url": "",
        "note": "A model of our own.",
        "ships": True,
        "also": [],
    }
    row = next((row for row in rows if row["name"] == name), None)
    if row is None:
        rows.append(row := new_row)
    row |= {"sha256": sha256, "bytes": n_bytes}
    _parse_row(row)
    ordered = [{field: row[field] for field in _MANIFEST_FIELDS} for row in rows]
    text = json.dumps({"version": _MANIFEST_VERSION, "files": ordered}, indent=2) + "\n"
    with AtomicFile(path) as file:
        file.stream.write(text)
        file.commit()


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the unchecked rows of a manifest."""
    try:
        content = parse_json_object(path.read_bytes(), f"{path}: is")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: the list of model files is missing; reinstall maskdet, or "
            "restore the file in a checkout"
        ) from None
    if content.get("version") != _MANIFEST_VERSION:
        raise ValueError(
            f"{path}: is not a model manifest of version {_MANIFEST_VERSION}"
        )
    rows = content.get("files")
    if not isinstance(rows, list):
        raise ValueError(f"{path}: files must be a list, not {rows!r}")
    return rows


def _parse_row(row: Any) -> ModelFile:
    """Check one row and return it as a `ModelFile`."""
    if not isinstance(row, dict) or set(row) != set(_MANIFEST_FIELDS):
        actual_fields = ", ".join(row) if isinstance(row, dict) else repr(row)
        raise ValueError(
            f"must have the fields {', '.join(_MANIFEST_FIELDS)}, not {actual_fields}"
        )
    for field, kind in _MANIFEST_FIELDS.items():
        if type(row[field]) is not kind:
            raise ValueError(f"{field} must be {kind.__name__}, not {row[field]!r}")
    if not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
        raise ValueError(f"sha256 must be 64 hex digits, not {row['sha256']!r}")
    if row["bytes"] < 1:
        raise ValueError(f"bytes must be at least 1, not {row['bytes']}")
    if not row["file"] or row["file"] != Path(row["file"]).name:
        raise ValueError(f"file must be a name without folder, not {row['file']!r}")
    if not all(isinstance(name, str) for name in row["also"]):
        raise ValueError(f"also must be a list of names, not {row['also']}")
    return ModelFile(
        name=row["name"],
        file_name=row["file"],
        sha256=row["sha256"],
        n_bytes=row["bytes"],
        licence=row["licence"],
        url=row["url"],
        note=row["note"],
        is_bundled=row["ships"],
        requires=tuple(row["also"]),
    )


def download(
    model_file: ModelFile, target: Path, progress: DownloadProgress | None = None
) -> None:
    """Download a model file to `target`, replacing an existing file.

    Args:
        model_file: its HTTPS URL may redirect, but only to HTTPS; a response of another
            size or checksum is an error.
        target: written only when the download is complete and verified.
        progress: called after each chunk.

    Raises:
        ConnectionError: the URL could not be read.
        RuntimeError: size or checksum differs.
    """
    from requests import RequestException

    try:
        write_verified(_iter_content(model_file.url), target, model_file, progress)
    except RequestException as error:
        reason = describe_http_error(error)
    except ConnectionError as error:
        reason = str(error)
    else:
        return
    raise ConnectionError(
        f"could not download {target.name} from {model_file.url} ({reason}); "
        f"check the network, or copy the file to {target.parent}"
    )


def _iter_content(url: str) -> Iterator[bytes]:
    """Yield the content of a URL; every redirect must lead to HTTPS."""
    # A publisher's file must arrive as it is, not compressed.
    headers = {"Accept-Encoding": "identity"}
    with open_http_session() as session:
        for _ in range(_MAX_REDIRECTS + 1):
            if urlsplit(url).scheme != "https":
                raise ConnectionError(f"{url} is not an HTTPS URL")
            with session.get(
                url,
                headers=headers,
                timeout=_TIMEOUT_S,
                allow_redirects=False,
                stream=True,
            ) as response:
                if not response.is_redirect:
                    if not response.ok:
                        reason = f"{response.status_code} {response.reason}"
                        raise ConnectionError(f"status {reason}")
                    yield from response.iter_content(_CHUNK_BYTES)
                    return
                url = urljoin(url, response.headers["Location"])
    raise ConnectionError(f"more than {_MAX_REDIRECTS} redirects")


def write_verified(
    chunks: Iterable[bytes],
    target: Path,
    model_file: ModelFile,
    progress: DownloadProgress | None = None,
) -> None:
    """Write chunks of bytes to `target`, with the same checks as `download`.

    Raises:
        RuntimeError: size or checksum differs.
    """
    sha256, n_bytes = model_file.sha256, model_file.n_bytes
    target.parent.mkdir(parents=True, exist_ok=True)
    with AtomicFile(target, model_file.name) as file:
        digest = hashlib.sha256()
        received = 0
        for chunk in chunks:
            received += len(chunk)
            digest.update(chunk)
            file.stream.buffer.write(chunk)
            if progress is not None:
                progress(received, n_bytes)
            if received > n_bytes:
                break
        if received > n_bytes or digest.hexdigest() != sha256:
            size = "more than" if received > n_bytes else f"{received} of"
            raise RuntimeError(
                f"download of {target.name} failed the check: {size} {n_bytes} bytes, "
                f"sha256 {digest.hexdigest()[:12]}..., expected {sha256[:12]}...; "
                "the download was discarded"
            )
        file.commit()


MODEL_FILES: dict[str, ModelFile] = read_manifest()
"""All known model files by name."""


def get_model_file(name: str) -> ModelFile:
    """Return the manifest entry of `name`.

    Raises:
        ValueError: the name is not in the manifest.
    """
    if name not in MODEL_FILES:
        raise ValueError(f"model must be one of {', '.join(MODEL_FILES)}, not {name!r}")
    return MODEL_FILES[name]


def cache_folder() -> Path:
    """Return the folder that `fetch_model` writes to; it may not exist yet."""
    return platformdirs.user_cache_path("maskdet", appauthor=False) / "models"


def model_folders() -> tuple[Path, ...]:
    """Return the folders that are searched for model files, in this order.

    These are the bundled models, the folder `MASKDET_MODEL_DIR`, and the download
    cache. The user's folder comes before the cache, which may hold older files.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set but is not a folder.
    """
    return (resource_path("models"), *user_folders(), cache_folder())


def user_folders() -> tuple[Path, ...]:
    """Return the folder `MASKDET_MODEL_DIR`, or an empty tuple if it is not set.

    Raises:
        ValueError: it is set but is not a folder.
    """
    value = os.environ.get(MODEL_DIR_VARIABLE, "")
    if not value:
        return ()
    return (check_model_folder(MODEL_DIR_VARIABLE, value),)


def check_model_folder(where: str, value: str | Path) -> Path:
    """Return a user's folder of model files, checked.

    Args:
        where: the variable or option that sets it, for the message.
        value: the path.

    Raises:
        ValueError: it is not a folder.
    """
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"{where} is {str(value)!r}, which is not a folder; set it to a folder of "
            "model files or unset it"
        )
    return folder


def model_path(name: str) -> Path:
    """Return the path of the model file `name`, after verifying its checksum.

    Raises:
        ValueError: the name is not in the manifest, or `MASKDET_MODEL_DIR` is not a
            folder.
        FileNotFoundError: no folder has the file; the message says how to get it.
        RuntimeError: the checksum differs.
    """
    model_file = get_model_file(name)
    for folder in model_folders():
        path = folder / model_file.file_name
        if path.is_file():
            _verify_checksum(path, model_file)
            return path
    hint = _reinstall_hint(model_file) or f"get it with: maskdet models fetch {name}"
    raise FileNotFoundError(f"model file {model_file.file_name} is missing; {hint}")


def fetch_model(name: str, progress: DownloadProgress | None = None) -> Path:
    """Return the path of a model file, after downloading it if it is missing.

    The files that it needs (`ModelFile.requires`) are downloaded too.

    Raises:
        ValueError: the name is not in the manifest, or `MASKDET_MODEL_DIR` is not a
            folder.
        FileNotFoundError: a bundled file is missing.
        ConnectionError: the publisher's URL could not be read.
        RuntimeError: the checksum of the downloaded or existing file differs.
    """
    model_file = get_model_file(name)
    for companion in model_file.requires:
        fetch_model(companion, progress)
    target = cache_folder() / model_file.file_name
    if target.is_file() and sha256_of(target) != model_file.sha256:
        target.unlink()
    try:
        return model_path(name)
    except FileNotFoundError:
        if not model_file.url:
            raise
    download(model_file, target, progress)
    return model_path(name)


def sha256_of(path: Path) -> str:
    """Return the file's sha256 in hexadecimal; an unchanged file is read once."""
    stat = path.stat()
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _checksums:
        with path.open("rb") as file:
            _checksums[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _checksums[key]


def _verify_checksum(path: Path, model_file: ModelFile) -> None:
    actual = sha256_of(path)
    if actual == model_file.sha256:
        return
    hint = (
        _reinstall_hint(model_file)
        or f"delete it, then: maskdet models fetch {model_file.name}"
    )
    raise RuntimeError(
        f"model {model_file.name} at {path} is damaged or another version: sha256 "
        f"{actual[:12]}..., expected {model_file.sha256[:12]}...; {hint}"
    )


def _reinstall_hint(model_file: ModelFile) -> str:
    """Return how to restore a bundled file; an empty string for other files."""
    if not model_file.is_bundled:
        return ""
    return f"reinstall maskdet, or restore models/{model_file.file_name} in a checkout"
