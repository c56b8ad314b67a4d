"""Installs the wheel where only chosen packages can be imported, without a network."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into a folder."""
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    pip("wheel", "--quiet", *options, str(ROOT))
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip(*words: str) -> None:
    """Run the pip of this environment."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Installed:
    """A new environment with the wheel and what some of its extras ask for.

    Attributes:
        folder: the working folder of all commands, outside the checkout; also the
            user's home.
        bin: where the commands of the environment are.
    """

    def __init__(self, folder: Path, wheel: Path, extras: Iterable[str] = ()) -> None:
        """Make the environment.

        Args:
            folder: where to; it is made.
            wheel: the file.
            extras: their packages can be imported, beside those of the base.
        """
        self.folder = folder / "work"
        self.folder.mkdir(parents=True)
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.bin = folder / "venv" / "bin"
        words = ("install", "--quiet", "--no-deps", "--no-index", str(wheel))
        pip("--python", str(self.bin / "python"), *words)
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        link_packages(site, wheel, extras)

    def run(self, command: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, or its `python`."""
        return subprocess.run(
            [self.bin / command, *map(str, words)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """Return variables under which nothing of the checkout or the user is seen."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder)}


def link_packages(site: Path, wheel: Path, extras: Iterable[str]) -> None:
    """Link what a wheel asks for, and what that asks for, from this environment."""
    (found,) = importlib.metadata.distributions(path=[str(wheel)])
    wanted = [Requirement(text) for text in found.requires or ()]
    names: set[str] = set()
    for extra in ("", *extras):
        _follow(wanted, extra, names)
    for name in names:
        files = importlib.metadata.distribution(name).files or ()
        tops = {file.parts[0] for file in files if file.parts[0] not in ("..", "bin")}
        for top in tops - {"__pycache__"}:
            source = Path(str(importlib.metadata.distribution(name).locate_file(top)))
            if not (site / top).exists():
                (site / top).symlink_to(source)


def _follow(wanted: Iterable[Requirement], extra: str, names: set[str]) -> None:
    """Add to `names` what these requirements ask for, with all that they need."""
    for one in wanted:
        name = canonicalize_name(one.name)
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        if name in names and not one.extras:
            continue
        names.add(name)
        needs = importlib.metadata.distribution(name).requires or ()
        for inner in ("", *one.extras):
            _follow(map(Requirement, needs), inner, names)
