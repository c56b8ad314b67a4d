"""The list of model files, `models/manifest.json`: what each is, and its sha256."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from maskdet.part_file import AtomicFile
from maskdet.resources import resource_path

MANIFEST_NAME: Final = "manifest.json"

MANIFEST_FILE: Final = resource_path(f"models/{MANIFEST_NAME}")
"""The manifest of the files that maskdet knows."""

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
"""What each row holds, in the order in which it is written."""


@dataclass(frozen=True)
class ModelFile:
    """One model file.

    Attributes:
        name: what `asset_path` and `models fetch` call it.
        file_name: its name on disk, in every folder that is searched.
        sha256: of the whole file, in hexadecimal.
        n_bytes: its exact size; a download that grows beyond it is cut off.
        licence: SPDX name of its licence.
        url: HTTPS address of its publisher; empty for a file of our own. It names a
            commit, so that what it gives cannot change.
        note: what it is, in one sentence.
        is_bundled: whether it is committed to this project under `models/`.
        requires: names of the files without which this one is of no use.
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
        FileNotFoundError: there is no such file.
        ValueError: it is not a manifest; the message names the row and the field.
    """
    model_files: dict[str, ModelFile] = {}
    for number, row in enumerate(_read_rows(path), 1):
        try:
            model_file = _parse_row(row)
            if model_file.name in model_files:
                raise ValueError(f"the name {model_file.name!r} is there twice")
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
    """Write size and sha256 of one of our own files into a manifest.

    A name that the manifest does not list yet is added to it.

    Args:
        path: the manifest to change; the file that is pinned lies beside it.
        name: of the file, without `.tflite`.
        sha256: of the whole file, in hexadecimal.
        n_bytes: its size.

    Raises:
        FileNotFoundError: there is no such manifest.
        ValueError: it is not a manifest, or the values make none of it.
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
    """Return the rows of a manifest as they are written."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: the list of model files is missing; install maskdet again, or "
            "restore the file in a checkout"
        ) from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: is not valid JSON") from None
    if not isinstance(content, dict) or content.get("version") != _MANIFEST_VERSION:
        raise ValueError(
            f"{path}: is not a model manifest of version {_MANIFEST_VERSION}"
        )
    rows = content.get("files")
    if not isinstance(rows, list):
        raise ValueError(f"{path}: files must be a list, not {rows!r}")
    return rows


def _parse_row(row: Any) -> ModelFile:
    """Return one row, once all of it is as it must be."""
    if not isinstance(row, dict) or set(row) != set(_MANIFEST_FIELDS):
        actual_fields = ", ".join(row) if isinstance(row, dict) else repr(row)
        raise ValueError(
            f"must hold {', '.join(_MANIFEST_FIELDS)}, not {actual_fields}"
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
        raise ValueError(f"also must hold names, not {row['also']}")
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
