"""Where the model files of the manifest are on this disk, and how to get them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

from maskdet.download import Progress, download
from maskdet.manifest import Asset, read_manifest
from maskdet.resources import resource_path

MODEL_DIR_VARIABLE = "MASKDET_MODEL_DIR"
"""Environment variable that names a folder of model files that do not ship: those of
other projects, and the user's own (see `maskdet.own_models`)."""

ASSETS: dict[str, Asset] = read_manifest()
"""Every model file that maskdet knows, by name."""

_verified: dict[tuple[Path, int, int], str] = {}


def asset(name: str) -> Asset:
    """Return the manifest's row for `name`.

    Raises:
        ValueError: the manifest has no such name.
    """
    if name not in ASSETS:
        raise ValueError(f"model must be one of {', '.join(ASSETS)}, not {name!r}")
    return ASSETS[name]


def cache_folder() -> Path:
    """Return the folder that `fetch` writes to; it need not exist yet."""
    return platformdirs.user_cache_path("maskdet", appauthor=False) / "models"


def folders() -> tuple[Path, ...]:
    """Return the folders that are searched for model files, in this order.

    First what ships, then the folder that `MASKDET_MODEL_DIR` names, then what
    `fetch` downloaded, so that the files of a named folder come before older downloads.

    Raises:
        ValueError: `MASKDET_MODEL_DIR` is set, and is not a folder.
    """
    return (resource_path("models"), *extra_folder(), cache_folder())


def extra_folder() -> tuple[Path, ...]:
    """Return the folder that `MASKDET_MODEL_DIR` names, or nothing.

    Raises:
        ValueError: it is set, and is not a folder.
    """
    value = os.environ.get(MODEL_DIR_VARIABLE, "")
    if not value:
        return ()
    return (model_folder(MODEL_DIR_VARIABLE, value),)


def model_folder(where: str, value: str | Path) -> Path:
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


def asset_path(name: str) -> Path:
    """Return where the file called `name` lies, its sha256 checked.

    Raises:
        ValueError: the manifest has no such name, or `MASKDET_MODEL_DIR` is not a
            folder.
        FileNotFoundError: no folder has the file; the message says how to get it.
        RuntimeError: the file is not the one that was meant.
    """
    wanted = asset(name)
    for folder in folders():
        path = folder / wanted.file_name
        if path.is_file():
            _check(path, wanted)
            return path
    remedy = _again(wanted) or f"get it with: maskdet models fetch {name}"
    raise FileNotFoundError(f"model file {wanted.file_name} is missing; {remedy}")


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Return where the file lies, downloaded from its publisher if it is missing.

    The files that it needs beside it (`Asset.also`) are fetched too.

    Raises:
        ValueError: the manifest has no such name, or `MASKDET_MODEL_DIR` is not a
            folder.
        FileNotFoundError: a file that ships with the project is missing.
        ConnectionError: the publisher's address could not be read.
        RuntimeError: what came, or what lay there, is not the file that was meant.
    """
    wanted = asset(name)
    for companion in wanted.also:
        fetch(companion, progress)
    target = cache_folder() / wanted.file_name
    if target.is_file() and sha256_of(target) != wanted.sha256:
        target.unlink()
    try:
        return asset_path(name)
    except FileNotFoundError:
        if not wanted.url:
            raise
    download(
        wanted.url,
        target,
        sha256=wanted.sha256,
        n_bytes=wanted.n_bytes,
        progress=progress,
    )
    return asset_path(name)


def sha256_of(path: Path) -> str:
    """Return the file's sha256 in hexadecimal; an unchanged file is read once."""
    stat = path.stat()
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _verified:
        with path.open("rb") as file:
            _verified[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _verified[key]


def _check(path: Path, wanted: Asset) -> None:
    found = sha256_of(path)
    if found == wanted.sha256:
        return
    remedy = _again(wanted) or f"delete it, then: maskdet models fetch {wanted.name}"
    raise RuntimeError(
        f"model {wanted.name} at {path} is damaged or another version: sha256 "
        f"{found[:12]}..., expected {wanted.sha256[:12]}...; {remedy}"
    )


def _again(wanted: Asset) -> str:
    """Return how to get a file of our own back; empty for one of others."""
    if not wanted.ships:
        return ""
    return f"install maskdet again, or restore models/{wanted.file_name} in a checkout"
