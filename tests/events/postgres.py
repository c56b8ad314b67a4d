"""A PostgreSQL server of a test's own: it lives in a folder that goes with it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers import free_port
from tests.waiting import WAIT_S

USER, PASSWORD = "maskdet", "p@ss/w:rd"
ESCAPED = "p%40ss%2Fw%3Ard"


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        port: on this machine.
        folder: its socket lies there too.
    """

    port: int
    folder: Path
    _programs: Path

    def url(self, name: str = "postgres", password: str = ESCAPED) -> str:
        """Return the address of a database of it."""
        return f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{self.port}/{name}"

    def control(self, *words: str) -> None:
        """Let `pg_ctl` do something, and wait until it is done."""
        patience = ["-w", "-t", round(WAIT_S)]
        run(
            [self._programs / "pg_ctl", "-D", self.folder / "data", *patience, *words],
            log=self.folder / "pg_ctl.log",
        )

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -F"
        log = str(self.folder / "server.log")
        self.control("-l", log, "-o", options, "start")

    def stop(self) -> None:
        """End it at once, as a crash or a switch would."""
        self.control("-m", "immediate", "stop")


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; skip the test if there is none."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("the driver psycopg is not installed", allow_module_level=True)
    found = shutil.which("initdb")
    # Debian keeps them off the path.
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found is None and not debian:
        pytest.skip(
            "the programs of PostgreSQL (initdb, pg_ctl) are not on this machine",
            allow_module_level=True,
        )
    return Path(found or debian[-1]).resolve().parent


def run(words: Sequence[Any], *, log: Path) -> None:
    """Run a program, as somebody else where we are root: PostgreSQL refuses root."""
    other: dict[str, Any] = {}
    if os.getuid() == 0:
        import pwd  # not on every system

        account = pwd.getpwnam("nobody")
        other = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    # Not a pipe: the server keeps what it got open, and a pipe would never end.
    with log.open("ab") as said:
        done = subprocess.run(
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            timeout=WAIT_S,
            **other,
        )
    assert done.returncode == 0, log.read_text("utf-8", "replace")


@contextmanager
def server() -> Iterator[Server]:
    """Run a server that asks for a password, and leave nothing of it."""
    bin_folder = programs()
    # Not pytest's folder: others than its owner may not enter that one.
    folder = Path(tempfile.mkdtemp(prefix="maskdet-pg-", dir="/tmp"))
    here = Server(free_port(), folder, bin_folder)
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
        word = folder / "password"
        word.write_text(PASSWORD)
        word.chmod(0o644)  # in a folder that only its owner enters
        ask = ["--auth=scram-sha-256", f"--pwfile={word}", "-U", USER]
        plain = ["--no-sync", "--no-locale", "-E", "UTF8", "-D", folder / "data"]
        run([bin_folder / "initdb", *ask, *plain], log=folder / "initdb.log")
        here.start()
        yield here
    finally:
        with suppress(AssertionError, OSError):
            here.stop()
        shutil.rmtree(folder, ignore_errors=True)
