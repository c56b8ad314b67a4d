"""Install the wheel offline in an environment with only selected packages."""

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
    run_pip("wheel", "--quiet", *options, str(ROOT))
    (wheel,) = folder.glob("*.whl")
    return wheel


def run_pip(*arguments: str) -> None:
    """Run the pip of this environment."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr


class InstalledWheel:
    """A new environment with the wheel and the requirements of some extras.

    Attributes:
        folder: the working folder of all commands, outside the checkout; also the
            user's home.
        bin: folder with the commands of the environment.
    """

    def __init__(self, folder: Path, wheel: Path, extras: Iterable[str] = ()) -> None:
        """Create the environment.

        Args:
            folder: folder to create.
            wheel: the file.
            extras: extras whose packages can be imported, besides the base.
        """
        self.folder = folder / "work"
        self.folder.mkdir(parents=True)
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.bin = folder / "venv" / "bin"
        arguments = ("install", "--quiet", "--no-deps", "--no-index", str(wheel))
        run_pip("--python", str(self.bin / "python"), *arguments)
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        link_packages(site, wheel, extras)

    def run(
        self, command: str, *arguments: str | Path
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, or its `python`."""
        return subprocess.run(
            [self.bin / command, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """Return environment variables that hide the checkout and the user's home."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder)}


def link_packages(site: Path, wheel: Path, extras: Iterable[str]) -> None:
    """Link all transitive requirements of a wheel from this environment."""
    (distribution,) = importlib.metadata.distributions(path=[str(wheel)])
    requirements = [Requirement(text) for text in distribution.requires or ()]
    names: set[str] = set()
    for extra in ("", *extras):
        _collect_requirements(requirements, extra, names)
    for name in names:
        files = importlib.metadata.distribution(name).files or ()
        tops = {file.parts[0] for file in files if file.parts[0] not in ("..", "bin")}
        for top in tops - {"__pycache__"}:
            source = Path(str(importlib.metadata.distribution(name).locate_file(top)))
            if not (site / top).exists():
                (site / top).symlink_to(source)


def _collect_requirements(
    requirements: Iterable[Requirement], extra: str, names: set[str]
) -> None:
    """Add the names of requirements and of their dependencies to `names`."""
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate(
            {"extra": extra}
        ):
            continue
        if name in names and not requirement.extras:
            continue
        names.add(name)
        dependencies = importlib.metadata.distribution(name).requires or ()
        for inner in ("", *requirement.extras):
            _collect_requirements(map(Requirement, dependencies), inner, names)
