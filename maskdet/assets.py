"""Where the model files of the manifest are on this disk, and how to get them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

from maskdet.download import DownloadProgress, download
from maskdet.manifest import ModelFile, read_manifest
from maskdet.resources import resource_path

MODEL_DIR_VARIABLE = "MASKDET_MODEL_DIR"
"""Environment variable that names a folder of model files that do not ship: those of
other projects, and the user's own (see `maskdet.own_models`)."""

MODEL_FILES: dict[str, ModelFile] = read_manifest()
"""Every model file that maskdet knows, by name."""

_checksums: dict[tuple[Path, int, int], str] = {}


def get_model_file(name: str) -> ModelFile:
    """Return the manifest's row for `name`.

    Raises:
        ValueError: the manifest has no such name.
    """
    if name not in MODEL_FILES:
        raise ValueError(f"model must be one of {', '.join(MODEL_FILES)}, not {name!r}")
    return MODEL_FILES[name]


def cache_folder() -> Path:
    """Return the folder that `fetch_model` writes to; it need not exist yet."""
    return platformdirs.user_cache_path("maskdet", appauthor=False) / "models"


def model_folders() -> tuple[Path, ...]:
    """Return the folders that are searched for model files, in this order.

    First what ships, then the folder that `MASKDET_MODEL_DIR` names, then what
    `fetch_model` downloaded, so that the files of a named folder come before older
    downloads.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set, and is not a folder.
    """
    return (resource_path("models"), *user_folders(), cache_folder())


def user_folders() -> tuple[Path, ...]:
    """Return the folder that `MASKDET_MODEL_DIR` names, or nothing.

    Raises:
        ValueError: it is set, and is not a folder.
    """
    value = os.environ.get(MODEL_DIR_VARIABLE, "")
    if not value:
        return ()
    return (check_model_folder(MODEL_DIR_VARIABLE, value),)


def check_model_folder(where: str, value: str | Path) -> Path:
    """Return a folder of model files that somebody named.

    Args:
        where: the variable or option that names it, for the message.
        value: what it says.

    Raises:
        ValueError: there is no such folder.
    """
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"{where} is {str(value)!r}, which is not a folder; it must name a folder "
            "of model files; correct it or unset it"
        )
    return folder


def model_path(name: str) -> Path:
    """Return where the file called `name` lies, its sha256 checked.

    Raises:
        ValueError: the manifest has no such name, or `MASKDET_MODEL_DIR` is not a
            folder.
        FileNotFoundError: no folder has the file; the message says how to get it.
        RuntimeError: the file is not the one that was meant.
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
    """Return where the file lies, downloaded from its publisher if it is missing.

    The files that it needs beside it (`ModelFile.also`) are fetched too.

    Raises:
        ValueError: the manifest has no such name, or `MASKDET_MODEL_DIR` is not a
            folder.
        FileNotFoundError: a file that ships with the project is missing.
        ConnectionError: the publisher's address could not be read.
        RuntimeError: what came, or what lay there, is not the file that was meant.
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
    download(
        model_file.url,
        target,
        sha256=model_file.sha256,
        n_bytes=model_file.n_bytes,
        progress=progress,
    )
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
    """Return how to get a file of our own back; empty for one of others."""
    if not model_file.is_bundled:
        return ""
    return (
        f"install maskdet again, or restore models/{model_file.file_name} in a checkout"
    )
