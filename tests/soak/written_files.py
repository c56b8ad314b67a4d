"""Which files a program and its child processes write, as the system sees it.

`strace` reports every call that opens a file for writing, creates or renames one, also
of native code.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CALLS: Final = (
    *("open", "openat", "openat2", "creat", "mkdir", "mkdirat", "mknod", "mknodat"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    *("truncate", "memfd_create"),
)
_WRITING_FLAG = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE|^creat\(")
# Of an opened file the resolved path follows the number that is returned.
_OPENED = re.compile(r"^(?:open|openat|openat2|creat|memfd_create)\(.* = \d+<(.*)>$")
_CREATED = re.compile(r"^(?:mk|rename|link|symlink|truncate)[a-z0-9]*\((.*)\) += 0$")
_FOLDER_AND_NAME = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')


def find_tracer() -> str | None:
    """Return the path of strace, or `None` if it is not installed."""
    return shutil.which("strace")


def make_trace_command(prefix: Path) -> list[str]:
    """Return the start of a command line that traces the command after it.

    Args:
        prefix: path of the traces, one for each thread, without their numbers.
    """
    options = ["-ff", "-qq", "-y", "-s", "4096", "--seccomp-bpf", "-e", "signal=none"]
    return [
        "strace",
        *options,
        "-e",
        f"trace={','.join(f'?{call}' for call in _CALLS)}",
        "-o",
        str(prefix),
    ]


def read_written_files(prefix: Path, folder: Path) -> set[str]:
    """Return the paths of all files and folders that a traced program wrote.

    Args:
        prefix: as for `make_trace_command`.
        folder: the working folder of the program.
    """
    traces = prefix.parent.glob(f"{prefix.name}.*")
    return {
        os.path.normpath(folder / path)
        for trace in traces
        for line in trace.read_text("utf-8", "replace").splitlines()
        for path in parse_call(line)
    }


def parse_call(line: str) -> Iterator[str]:
    """Yield the paths that a call wrote; none if it failed or only read."""
    opened, created = _OPENED.match(line), _CREATED.match(line)
    if opened and (_WRITING_FLAG.search(line) or line.startswith("memfd")):
        yield opened[1].removesuffix("(deleted)")
    elif created:
        places = _FOLDER_AND_NAME.findall(created[1])
        # The target of a symbolic link is not written.
        for folder, name in places[-1:] if "symlink" in line[:10] else places:
            yield os.path.join(folder, name)
