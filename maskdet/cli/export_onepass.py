"""The part of `maskdet export` that concerns the one-pass network."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.cli.console import print_line
from maskdet.cli.pinning import pin_model
from maskdet.cli.train_onepass import ONEPASS_NETWORK
from maskdet.training.logs import RECIPE_FILE

if TYPE_CHECKING:
    from maskdet.training.onepass.export import OnePassExport


def is_onepass_run(run: Path) -> bool:
    """Return whether a run's recipe says that it trained the one-pass network."""
    try:
        recipe = json.loads((run / RECIPE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # what is wrong with it, the export of classifiers says
    return isinstance(recipe, dict) and recipe.get("network") == ONEPASS_NETWORK


def run_onepass(args: argparse.Namespace) -> int:
    """Export as asked; the work is in `maskdet.training.onepass.export`."""
    if args.faces or args.scenes or args.finder or args.onnx:
        raise ValueError(
            "--faces, --scenes, --finder and --onnx are for classifiers; measure with "
            "`maskdet evaluate scenes FILE --analyzer onepass`"
        )
    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from maskdet.training.onepass.export import export_onepass, write_onepass_export

    exported = export_onepass(
        args.run, args.name or ONEPASS_NETWORK, use_last_epoch=args.last
    )
    _print_onepass_export(exported)
    for path in write_onepass_export(exported, args.out, _format_onepass_command(args)):
        print_line(f"wrote {path}")
    pin_model(args, exported.name, exported.selected)
    return 0


def _print_onepass_export(exported: OnePassExport) -> None:
    print_line(
        f"{exported.n_parameters:,} parameters, temperature {exported.temperature:.3f}"
    )
    float32 = exported.versions["float32"]
    for weights, version in exported.versions.items():
        times = " and ".join(f"{time_ms:.2f}" for time_ms in version.times_ms)
        worse_on = ", ".join(version.list_regressions(float32)) or "nowhere"
        print_line(
            f"{weights}: {version.n_bytes:,} bytes, at most {version.difference:.2g} "
            f"from Keras, worse than float32: {worse_on}, {times} ms"
        )
    print_line(
        f"{exported.weight_format} is used: the smallest fast one that loses nothing"
    )
    for name, result in exported.selected.metrics.items():
        print_line(f"validation {name}: {result}")


def _format_onepass_command(args: argparse.Namespace) -> str:
    arguments = ["maskdet", "export", str(args.run)]
    arguments += ["--name", args.name] if args.name else []
    arguments += ["--last"] if args.last else []
    return shlex.join([*arguments, "--out", str(args.out)])
