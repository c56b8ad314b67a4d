"""Build the container of the dashboard, and print its size, start-up and stop time.

    python scripts/measure_container.py                       # Docker or podman
    python scripts/measure_container.py --engine podman --run-option=--network=host

It runs as in compose.yaml: read-only, without capabilities, as a user of its own. The
time of the start ends with the first successful request from outside.
Without a registry, `--base` names an image that is already on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from maskdet.threads import count_cores

ROOT = Path(__file__).resolve().parents[1]
IMAGE = NAME = "maskdet-measured"
PORT = 18_501
HEALTH = f"http://127.0.0.1:{PORT}/_stcore/health"
DEADLINE_S = 180.0


def main() -> int:
    """Build, start, check and stop."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--engine", help="docker or podman (default: the one that is installed)"
    )
    parser.add_argument("--image", help="measure this image, and build none")
    parser.add_argument("--base", help="base image (default: that of the file)")
    parser.add_argument("--build-option", action="append", default=[])
    parser.add_argument(
        "--global-option", action="append", default=[], help="such as --runtime=runc"
    )
    parser.add_argument("--run-option", action="append", default=[])
    options = parser.parse_args()
    engine = options.engine or next(filter(shutil.which, ("docker", "podman")), "")
    if not engine or shutil.which(engine) is None:
        print("neither docker nor podman is installed", file=sys.stderr)
        return 1
    command = [engine, *options.global_option]
    image = options.image or build(command, options.base, options.build_option)
    load = f"{os.getloadavg()[0]:.0f} on {count_cores()} cores"
    print(f"{'load of this machine':24} {load}")
    print(f"{'image size':24} {read_size(command, image) / 1e6:,.0f} MB")
    measure_run(command, image, options.run_option)
    return 0


def build(command: list[str], base: str | None, more: list[str]) -> str:
    """Build the image; return its name."""
    arguments = [f"--build-arg=BASE={base}"] if base else []
    started_s = time.monotonic()
    subprocess.run(
        [
            *command,
            *("build", "-f", "deploy/Containerfile", "-t", IMAGE),
            *(*arguments, *more, "."),
        ],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    print(f"{'built in':24} {time.monotonic() - started_s:,.0f} s")
    return IMAGE


def read_size(command: list[str], image: str) -> int:
    """Return the size of an image in bytes."""
    return int(read(command, "image", "inspect", "--format", "{{.Size}}", image))


def measure_run(command: list[str], image: str, more: list[str]) -> None:
    """Run a container, print what is measured, and remove it."""
    publish = [] if "--network=host" in more else [f"--publish=127.0.0.1:{PORT}:{PORT}"]
    limits = ["--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--memory=4g"]
    started_s = time.monotonic()
    subprocess.run(
        [
            *command,
            *("run", "--detach", "--name", NAME),
            *(f"--env=STREAMLIT_SERVER_PORT={PORT}", *limits, *publish, *more, image),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until_healthy(command)
        print(f"{'start until healthy':24} {time.monotonic() - started_s:.1f} s")
        user = read(command, "exec", NAME, "id", "-u")
        print(f"{'user':24} {user}")
        writable = subprocess.run(
            [*command, "exec", NAME, "touch", "/opt/maskdet/a"], capture_output=True
        )
        print(f"{'root is read-only':24} {'no' if not writable.returncode else 'yes'}")
        print(f"{'health check':24} {read_health(command)}")
        stopped_s = time.monotonic()
        subprocess.run(
            [*command, "stop", "--time=15", NAME],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        print(f"{'stop':24} {time.monotonic() - stopped_s:.1f} s")
        status = read(command, "inspect", "--format", "{{.State.ExitCode}}", NAME)
        print(f"{'exit status':24} {status}")
    finally:
        subprocess.run([*command, "rm", "--force", NAME], capture_output=True)


def wait_until_healthy(command: list[str]) -> None:
    """Return when the dashboard in the container responds.

    Raises:
        TimeoutError: it did not; the log of the container is printed before.
    """
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        try:
            with urllib.request.urlopen(HEALTH, timeout=5) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    subprocess.run([*command, "logs", NAME])
    raise TimeoutError("the container does not respond")


def read_health(command: list[str]) -> str:
    """Run the health check of the image; return its result."""
    check = read(
        command, "inspect", "--format", "{{json .Config.Healthcheck.Test}}", NAME
    )
    kind, *words = json.loads(check)
    if kind == "CMD-SHELL":
        words = ["sh", "-c", *words]
    done = subprocess.run([*command, "exec", NAME, *words], capture_output=True)
    return "ok" if done.returncode == 0 else f"failed: {done.stderr.decode()}"


def read(command: list[str], *words: str) -> str:
    """Return the output of a command of the engine, in one line."""
    done = subprocess.run(
        [*command, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
