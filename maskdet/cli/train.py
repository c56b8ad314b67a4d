"""`maskdet train`: make our networks from labelled pictures."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskdet.cli import train_onepass
from maskdet.cli.train_onepass import add_negatives_options
from maskdet.cli.console import say
from maskdet.datasets import load_training_data
from maskdet.extras import require
from maskdet.training.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from maskdet.datasets import TrainingData
    from maskdet.detectors import Detector
    from maskdet.training.material import Material

_RECIPES = "\n".join(
    f"  {recipe.name:12}{recipe.title}: {recipe.about}" for recipe in RECIPES.values()
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` and the networks that it trains."""
    networks = subparsers.add_parser(
        "train", help="train a classifier or the single-stage network"
    ).add_subparsers(dest="network", metavar="NETWORK", required=True)
    train_onepass.add_parser(networks)
    parser = networks.add_parser(
        "classifier",
        help="a network that classifies one face",
        description="Train a classifier for mask, no mask and incorrectly worn.",
        epilog=f"recipes:\n{_RECIPES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="maskdet",
        help="how to train; see below (default: maskdet)",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        action="extend",
        required=True,
        metavar="PATH",
        help="a folder for each class, index.csv, COCO, VOC or YOLO; several may be "
        "given",
    )
    parser.add_argument(
        "--val",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="images to validate on, in the same forms (default: those that --data "
        "marks as validation, else a part of it)",
    )
    parser.add_argument(
        "--corrections", metavar="FILE", help="list of labels to correct"
    )
    add_negatives_options(parser)
    parser.add_argument("--source", help="only images of this source, such as drawn")
    _add_knobs(parser)


def _add_knobs(parser: argparse.ArgumentParser) -> None:
    """Add what changes a recipe, and where the run is kept."""
    parser.add_argument(
        "--weights",
        help="initial weights of MobileNetV2: a .weights.h5 file, a .tflite file that "
        "`maskdet export` wrote with float weights, `imagenet` to download them "
        "(default), `none` for random weights",
    )
    parser.add_argument(
        "--out", type=Path, help="folder for the run (default: runs/RECIPE)"
    )
    parser.add_argument(
        "--epochs", type=int, help="number of epochs, of all stages together"
    )
    parser.add_argument("--steps", type=int, help="batches per epoch")
    parser.add_argument(
        "--learning-rate", type=float, help="learning rate of the last stage"
    )
    parser.add_argument("--size-px", type=int, help="side of the input")
    parser.add_argument("--drawn", type=int, help="number of synthetic crops to add")
    parser.add_argument("--seed", type=int, default=1, help="random seed")
    parser.add_argument(
        "--finder",
        default="yunet",
        help="recipe maskdet: face detector for images of one face, and for the "
        "landmarks to draw masks at; `none` for none",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in --out"
    )


def run(args: argparse.Namespace) -> int:
    """Train as asked; the work is in `maskdet.training`."""
    require("maskdet train", "tensorflow")
    if args.network == "onepass":
        return train_onepass.run(args)
    recipe = _recipe(args)
    weights = _weights(args, recipe)
    data = _data(args, recipe)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("maskdet").setLevel(logging.INFO)
    out = args.out or Path("runs") / recipe.name
    command = _command(args, recipe, out)
    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from maskdet.training.fit import BEST_FILE, Start, fit
    from maskdet.training.pictures import write_pictures
    from maskdet.training.validation import by_source, class_report

    material = _material(args, data, recipe, out)
    about = {
        "command": command,
        "data": [_name(Path(path)) for path in args.data],
        "crops": material.n,
        "class_weights": material.class_weights.tolist(),
        "data_report": data.report.to_json(),
    }
    probs = fit(material, out, recipe, Start(weights, args.resume, about))
    held_out = material.validation
    results = by_source(held_out.sources, held_out.labels, probs)
    report = ["validation", *class_report(held_out.labels, probs)]
    report += [f"{source}: {result}" for source, result in results.items()]
    for line in report:
        say(line)
    (out / "report.txt").write_text("\n".join(report) + "\n", encoding="utf-8")
    pictures = write_pictures(material, out)
    say(f"wrote {', '.join(str(path) for path in (out / BEST_FILE, *pictures))}")
    say(f"next: maskdet export {out} --name {recipe.name}")
    return 0


def _recipe(args: argparse.Namespace) -> Recipe:
    recipe = dataclasses.replace(RECIPES[args.recipe], seed=args.seed)
    for knob in ("size_px", "steps", "drawn"):
        if getattr(args, knob) is not None:
            recipe = dataclasses.replace(recipe, **{knob: getattr(args, knob)})
    if args.learning_rate is not None:
        last = dataclasses.replace(recipe.stages[-1], learning_rate=args.learning_rate)
        recipe = dataclasses.replace(recipe, stages=(*recipe.stages[:-1], last))
    if args.negatives:
        recipe = dataclasses.replace(recipe, verifies=True)
    return recipe if args.epochs is None else recipe.with_epochs(args.epochs)


def _weights(args: argparse.Namespace, recipe: Recipe) -> str | None:
    """Return where the body starts, once it is sure that there is such a start."""
    chosen: str | None = recipe.weights if args.weights is None else args.weights
    if chosen == "none":
        return None
    if chosen not in (None, "imagenet") and not Path(str(chosen)).is_file():
        raise FileNotFoundError(
            f"--weights {chosen}: there is no such file; `--weights imagenet` fetches "
            "the usual ones"
        )
    return chosen


def _data(args: argparse.Namespace, recipe: Recipe) -> TrainingData:
    """Read the pictures, check them, and tell what was found."""
    data = load_training_data(
        args.data,
        args.val,
        seed=recipe.seed,
        shares=recipe.shares,
        source=args.source,
        corrections=args.corrections,
        progress=_progress("checking"),
    )
    for line in data.report.lines():
        say(line)
    return data


def _material(
    args: argparse.Namespace, data: TrainingData, recipe: Recipe, out: Path
) -> Material:
    from maskdet.training.material import PACKED_FILE, Parts, prepare, recut

    if not args.resume:  # how crops are cut and drawn may have changed since
        (out / PACKED_FILE).unlink(missing_ok=True)
    parts = Parts(data.train, data.validation, data.test)
    if not args.val:
        parts = recut(parts, recipe)
    counts = ", ".join(f"{len(part)} {title}" for title, part in vars(parts).items())
    say(f"pictures for the recipe {recipe.name}: {counts}")
    negatives = None
    if args.negatives:
        from maskdet.training.onepass.negatives import read_negatives

        negatives = read_negatives(
            args.negatives, args.held_out_kinds, _progress("reading negatives")
        )
        say(
            f"pictures without a face: {len(negatives.train)} to train on, "
            f"{len(negatives.held_out)} held out"
        )
    finder = partial(_finder, args.finder)
    return prepare(parts, recipe, out, finder, _progress, negatives)


def _command(args: argparse.Namespace, recipe: Recipe, out: Path) -> str:
    """Return the command that makes this run from nothing."""
    words = ["maskdet", "train", args.network]
    words += ["--recipe", recipe.name, "--data", *args.data]
    words += ["--val", *args.val] if args.val else []
    for several in ("negatives", "held-out-kinds"):
        values = getattr(args, several.replace("-", "_"))
        words += [f"--{several}", *values] if values else []
    for option in (
        "corrections",
        "source",
        "weights",
        "epochs",
        "steps",
        "learning_rate",
        "size_px",
        "drawn",
    ):
        value = getattr(args, option)
        if value is not None:
            words += [f"--{option.replace('_', '-')}", str(value)]
    if recipe.views == "camera":
        words += ["--finder", args.finder]
    return shlex.join([*words, "--seed", str(recipe.seed), "--out", str(out)])


def _name(path: Path) -> str:
    """Return what data is called, such as `faces` or `kaggle-train`."""
    path = path.resolve()
    return path.parent.name if path.name == "index.csv" else path.stem


def _finder(name: str) -> Detector | None:
    if name == "none":
        return None
    from maskdet.detectors import load_detector

    return load_detector(name)


def _progress(title: str) -> partial[Any]:
    """Return a bar that shows on a terminal how far something is."""
    from tqdm import tqdm

    return partial(tqdm, desc=title, disable=None, file=sys.stderr)
