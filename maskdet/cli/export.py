"""`python -m maskdet export`: write a trained classifier as a LiteRT file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from maskdet.datasets import read_index


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export` to the commands."""
    parser = subparsers.add_parser(
        "export",
        help="write a trained network in the form that maskdet runs",
        description="Convert the best weights of a run to LiteRT, compare them with "
        "Keras, time them, and write the file with its card.",
    )
    parser.add_argument("run", type=Path, help="folder that `maskdet train` wrote")
    parser.add_argument(
        "--out", type=Path, default=Path("models"), help="folder for file and card"
    )
    parser.add_argument(
        "--test",
        metavar="INDEX",
        help="index.csv whose test split is measured and put into the card",
    )


def run(args: argparse.Namespace) -> int:
    """Export as asked; the work is in `maskdet.training.export`."""
    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from maskdet.training.card import write_card
    from maskdet.training.export import export

    test = read_index(args.test, "test") if args.test else []
    exported = export(args.run, args.out, test)
    for precision, version in exported.versions.items():
        print(
            f"{precision}: {version.n_bytes:,} bytes, at most {version.difference:.2g} "
            f"from Keras, {version.changed} other answers, "
            f"1 face {version.one_ms:.1f} ms, 4 faces {version.four_ms:.1f} ms"
        )
    for part in ("validation", "test"):
        for source, result in getattr(exported, part).items():
            print(f"{part} {source}: {result}")
    card = write_card(exported, args.run)
    shipped = exported.versions[exported.precision]
    print(f"wrote {exported.shipped} ({exported.precision}) and {card}")
    print(f"for maskdet/assets.py: sha256 {shipped.sha256}, {shipped.n_bytes} bytes")
    return 0
