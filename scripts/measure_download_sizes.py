"""Print how much an installation downloads: `python scripts/measure_download_sizes.py`.

Asks pip what it would install into an empty environment for the base package and for
each extra, and adds up the sizes of those files. Nothing is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import urllib.request
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Print a line for the base and for each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    base = files("")
    print(f"base: {megabytes(base)} MB without maskdet itself")
    for extra in project["project"]["optional-dependencies"]:
        more = files(extra) - base
        print(f"{extra}: {megabytes(more)} MB more, {len(more)} files")
    return 0


def files(extra: str) -> set[str]:
    """Return the addresses of the files that pip would install, without our own."""
    wanted = f"{ROOT}[{extra}]" if extra else str(ROOT)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--dry-run")
    options = ("--ignore-installed", "--report", "-", wanted)
    done = subprocess.run([*pip, *options], check=True, stdout=subprocess.PIPE)
    return {
        item["download_info"]["url"]
        for item in json.loads(done.stdout)["install"]
        if item["metadata"]["name"] != "maskdet"
    }


def megabytes(addresses: set[str]) -> int:
    """Return the size of some files together."""
    return round(sum(map(size_bytes, addresses)) / 1e6)


@cache
def size_bytes(address: str) -> int:
    """Return the size of a file by its address."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).stat().st_size
    request = urllib.request.Request(address, method="HEAD")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(answer.headers["Content-Length"])


if __name__ == "__main__":
    sys.exit(main())
