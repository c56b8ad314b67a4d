"""The option `--pin` of `maskdet export`: the new model's sha256 into a manifest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Protocol

from maskdet.cli.console import print_line
from maskdet.manifest import MANIFEST_NAME, pin_checksum, read_manifest


class _ModelFile(Protocol):
    """What both exports know of the file that they chose."""

    @property
    def sha256(self) -> str: ...

    @property
    def n_bytes(self) -> int: ...


def add_pin_option(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--pin",
        action="store_true",
        help=f"write size and sha256 of the model into {MANIFEST_NAME} of --out",
    )


def check_pin_option(args: argparse.Namespace) -> None:
    """Find out before the work whether there is a manifest to write to.

    Raises:
        FileNotFoundError: the folder has none.
        ValueError: it is broken.
    """
    if args.pin:
        read_manifest(_manifest_path(args))


def pin_model(args: argparse.Namespace, name: str, file: _ModelFile) -> None:
    """Write the model's size and sha256 into the manifest, or say what would be.

    Args:
        args: the words of the command.
        name: of the model, without the ending of its file.
        file: the model.
    """
    if args.pin:
        pin_checksum(_manifest_path(args), name, file.sha256, file.n_bytes)
        print_line(f"pinned {name} in {_manifest_path(args)}")
    else:
        print_line(
            f"not pinned in {_manifest_path(args)}; --pin writes {name}, sha256 "
            f"{file.sha256}, {file.n_bytes} bytes"
        )


def _manifest_path(args: argparse.Namespace) -> Path:
    out: Path = args.out
    return out / MANIFEST_NAME
