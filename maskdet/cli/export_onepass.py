"""The part of `maskdet export` that concerns the one-pass network."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.cli.console import say
from maskdet.cli.pinning import pin_model
from maskdet.cli.train_onepass import NETWORK
from maskdet.training.logs import RECIPE_FILE

if TYPE_CHECKING:
    from maskdet.training.onepass.export import Exported


def is_onepass(run: Path) -> bool:
    """Return whether a run's recipe says that it trained the one-pass network."""
    try:
        known = json.loads((run / RECIPE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # what is wrong with it, the export of classifiers says
    return isinstance(known, dict) and known.get("network") == NETWORK


def run(args: argparse.Namespace) -> int:
    """Export as asked; the work is in `maskdet.training.onepass.export`."""
    if args.faces or args.scenes or args.finder or args.onnx:
        raise ValueError(
            "--faces, --scenes, --finder and --onnx are for classifiers; measure with "
            "`maskdet evaluate scenes FILE --analyzer onepass`"
        )
    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from maskdet.training.onepass.export import export, write_run

    exported = export(args.run, args.name or NETWORK, last=args.last)
    _tell(exported)
    for path in write_run(exported, args.out, _command(args)):
        say(f"wrote {path}")
    pin_model(args, exported.name, exported.chosen)
    return 0


def _tell(exported: Exported) -> None:
    say(f"{exported.parameters:,} parameters, temperature {exported.temperature:.3f}")
    full = exported.versions["float32"]
    for weights, version in exported.versions.items():
        times = " and ".join(f"{time_ms:.2f}" for time_ms in version.times_ms)
        lost = ", ".join(version.loses_to(full)) or "nowhere"
        say(
            f"{weights}: {version.n_bytes:,} bytes, at most {version.difference:.2g} "
            f"from Keras, worse than float32: {lost}, {times} ms"
        )
    say(f"{exported.weights} is used: the smallest fast one that loses nothing")
    for name, result in exported.chosen.precision.items():
        say(f"validation {name}: {result}")


def _command(args: argparse.Namespace) -> str:
    words = ["maskdet", "export", str(args.run)]
    words += ["--name", args.name] if args.name else []
    words += ["--last"] if args.last else []
    return shlex.join([*words, "--out", str(args.out)])
