"""Locate the files that are bundled with maskdet: models, samples, the dashboard."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

_WHEEL_FOLDER: Final = "_data"
"""Folder of bundled files in the installed package; see `pyproject.toml`."""


def resource_path(name: str) -> Path:
    """Return the path of a file or folder that is bundled with maskdet.

    An installed package has them in a folder of its own; a checkout has them at the
    top of the repository.

    Args:
        name: path in the repository, with slashes: `models/manifest.json`. It need
            not exist.
    """
    package = Path(str(files("maskdet"))).resolve()
    wheel_folder = package / _WHEEL_FOLDER
    return (wheel_folder if wheel_folder.is_dir() else package.parent) / name
