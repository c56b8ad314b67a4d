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

from tests.helpers.servers import find_free_port
from tests.helpers.waiting import WAIT_S

USER, PASSWORD = "maskdet", "p@ss/w:rd"
ESCAPED_PASSWORD = "p%40ss%2Fw%3Ard"


@dataclass(frozen=True)
class PostgresServer:
    """A server that runs.

    Attributes:
        port: on this machine.
        folder: its socket lies there too.
    """

    port: int
    folder: Path
    _bin_folder: Path

    def url(self, name: str = "postgres", password: str = ESCAPED_PASSWORD) -> str:
        """Return the address of a database of it."""
        return f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{self.port}/{name}"

    def run_pg_ctl(self, *arguments: str) -> None:
        """Let `pg_ctl` do something, and wait until it is done."""
        wait_options = ["-w", "-t", round(WAIT_S)]
        run_program(
            [
                self._bin_folder / "pg_ctl",
                "-D",
                self.folder / "data",
                *wait_options,
                *arguments,
            ],
            log=self.folder / "pg_ctl.log",
        )

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -F"
        log = str(self.folder / "server.log")
        self.run_pg_ctl("-l", log, "-o", options, "start")

    def stop(self) -> None:
        """End it at once, as a crash or a switch would."""
        self.run_pg_ctl("-m", "immediate", "stop")


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs; skip the test if there is none."""
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("the driver psycopg is not installed", allow_module_level=True)
    initdb = shutil.which("initdb")
    # Debian keeps them off the path.
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if initdb is None and not debian:
        pytest.skip(
            "the programs of PostgreSQL (initdb, pg_ctl) are not on this machine",
            allow_module_level=True,
        )
    return Path(initdb or debian[-1]).resolve().parent


def run_program(arguments: Sequence[Any], *, log: Path) -> None:
    """Run a program, as somebody else where we are root: PostgreSQL refuses root."""
    user_options: dict[str, Any] = {}
    if os.getuid() == 0:
        import pwd  # not on every system

        account = pwd.getpwnam("nobody")
        user_options = {
            "user": account.pw_uid,
            "group": account.pw_gid,
            "extra_groups": [],
        }
    # Not a pipe: the server keeps what it got open, and a pipe would never end.
    with log.open("ab") as log_file:
        completed = subprocess.run(
            [str(word) for word in arguments],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            timeout=WAIT_S,
            **user_options,
        )
    assert completed.returncode == 0, log.read_text("utf-8", "replace")


@contextmanager
def run_server() -> Iterator[PostgresServer]:
    """Run a server that asks for a password, and leave nothing of it."""
    bin_folder = find_programs()
    # Not pytest's folder: others than its owner may not enter that one.
    folder = Path(tempfile.mkdtemp(prefix="maskdet-pg-", dir="/tmp"))
    postgres = PostgresServer(find_free_port(), folder, bin_folder)
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
        password_file = folder / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o644)  # in a folder that only its owner enters
        password_options = [
            "--auth=scram-sha-256",
            f"--pwfile={password_file}",
            "-U",
            USER,
        ]
        cluster_options = [
            "--no-sync",
            "--no-locale",
            "-E",
            "UTF8",
            "-D",
            folder / "data",
        ]
        run_program(
            [bin_folder / "initdb", *password_options, *cluster_options],
            log=folder / "initdb.log",
        )
        postgres.start()
        yield postgres
    finally:
        with suppress(AssertionError, OSError):
            postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
