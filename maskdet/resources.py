"""Where the files that come with maskdet are: weights, samples, the dashboard."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

_WHEEL_FOLDER: Final = "_data"
"""The folder in the installed package that `pyproject.toml` puts them into."""


def resource_path(name: str) -> Path:
    """Return the path of a file or folder that comes with maskdet.

    An installed package holds them in a folder of its own; in a checkout they lie
    beside the package, at the top of the repository.

    Args:
        name: as in the repository, with slashes: `models/manifest.json`. The path is
            returned whether or not there is such a file.
    """
    package = Path(str(files("maskdet"))).resolve()
    wheel_folder = package / _WHEEL_FOLDER
    return (wheel_folder if wheel_folder.is_dir() else package.parent) / name
