"""Measure download and disk sizes of each install of maskdet.

    python scripts/install_sizes.py

pip resolves the base and each extra as on a new machine with this Python. Each wheel is
downloaded once into a temporary folder (about 1 GB). The output is a Markdown table.
"On disk" is the size of the unpacked files without compiled bytecode.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Build the wheel, resolve and download every install, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "extras", nargs="*", help="measure only the base and these extras"
    )
    requested = parser.parse_args().extras
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = requested or list(project["project"]["optional-dependencies"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_pip("wheel", "--no-deps", "--wheel-dir", name, str(ROOT))
        (wheel,) = folder.glob("maskdet-*.whl")
        installs = {extra: resolve_urls(wheel, extra) for extra in ("", *extras)}
        urls = sorted(
            {url for package_urls in installs.values() for url in package_urls}
        )
        for url in urls:
            if downloaded_path(url, folder) != wheel:
                run_pip("download", "--no-deps", "--dest", name, url)
        sizes = {url: wheel_sizes(downloaded_path(url, folder)) for url in urls}
    version = ".".join(map(str, sys.version_info[:2]))
    print(f"Python {version}, {sysconfig.get_platform()}\n")
    print("| Install | Packages | Download | On disk |")
    print("| --- | --- | --- | --- |")
    for extra, package_urls in installs.items():
        download, disk = (sum(sizes[url][i] for url in package_urls) for i in (0, 1))
        title = f"maskdet[{extra}]" if extra else "maskdet"
        print(
            f"| `{title}` | {len(package_urls)} | {download / 1e6:,.0f} MB "
            f"| {disk / 1e6:,.0f} MB |"
        )
    return 0


def run_pip(*arguments: str) -> str:
    """Run pip and return what it prints."""
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", *arguments]
    completed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return completed.stdout


def resolve_urls(wheel: Path, extra: str) -> list[str]:
    """Return the URLs of all files of an install, including the wheel itself."""
    requirement = f"maskdet[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
    options = ("--dry-run", "--ignore-installed", "--only-binary", ":all:")
    report = json.loads(run_pip("install", *options, "--report", "-", requirement))
    return [item["download_info"]["url"] for item in report["install"]]


def downloaded_path(url: str, folder: Path) -> Path:
    """Return the path of a downloaded URL."""
    return folder / unquote(urlsplit(url).path).rpartition("/")[2]


def wheel_sizes(wheel: Path) -> tuple[int, int]:
    """Return the size of a wheel and of its unpacked files in bytes."""
    with zipfile.ZipFile(wheel) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    return wheel.stat().st_size, unpacked


if __name__ == "__main__":
    sys.exit(main())
