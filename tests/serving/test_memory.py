"""Freed memory of servers."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskdet.serving.memory import return_free_memory
from tests.helpers.servers import ROOT, find_free_port

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="only glibc can do that",
)


def test_freed_memory_is_given_back() -> None:
    blocks = [bytearray(16_000) for _ in range(6_000)]
    del blocks[:-1]  # the C library frees the end of its memory at once
    before_bytes = read_rss_bytes()
    return_free_memory()
    assert read_rss_bytes() < before_bytes - 50_000_000


def read_rss_bytes() -> int:
    n_pages = Path("/proc/self/statm").read_text().split()[1]
    return int(n_pages) * os.sysconf("SC_PAGE_SIZE")


LAUNCH_DASHBOARD = """
from maskdet.web.server import launch
launch.warm_up = launch.cli.main = lambda *args, **options: None
launch.launch_dashboard()
"""

SERVE = """
import uvicorn
from maskdet.cli import main
from maskdet.http_api.workers import AnalyzerWorkers
AnalyzerWorkers.warm_up = uvicorn.Server.run = lambda *args: None
assert main(["serve", "--port", "PORT"]) == 0
"""

FREE_BLOCK = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
size = 50_000
block, next_block = (ctypes.c_void_p(libc.malloc(size)) for _ in range(2))
ctypes.memset(block, 42, size)
libc.free(block)
print(ctypes.string_at(block.value, size).count(42))
"""


@pytest.mark.parametrize("start", [LAUNCH_DASHBOARD, SERVE])
def test_a_server_overwrites_freed_memory(start: str) -> None:
    # In a process of its own, as the option stays.
    code = start.replace("PORT", str(find_free_port())) + FREE_BLOCK
    program = [sys.executable, "-c", code]
    n_kept = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert int(n_kept.stdout) < 100, "none, but for a lucky address"
