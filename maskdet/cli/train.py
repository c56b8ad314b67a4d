"""`maskdet train`: make our networks from labelled pictures."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.cli import train_onepass
from maskdet.cli.console import say
from maskdet.cli.labelled import add_classes_option, class_names
from maskdet.cli.train_onepass import add_negatives_options, read_negatives_of
from maskdet.cli.training_run import (
    add_workers_option,
    bar,
    check_libraries,
    check_paths,
    find_with,
    finish,
    show_progress,
    with_knobs,
)
from maskdet.datasets import load_training_data
from maskdet.training.logs import BEST_FILE, epochs_of, waited
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
    add_classes_option(parser)
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
    parser.add_argument("--batch-size", type=int, help="crops per batch")
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
    add_workers_option(parser)
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in --out"
    )


def run(args: argparse.Namespace) -> int:
    """Train as asked; the work is in `maskdet.training`."""
    check_libraries()
    if args.network == "onepass":
        return train_onepass.run(args)
    recipe = _recipe(args)
    out = args.out or Path("runs") / recipe.name
    check_paths(args, out)
    weights = recipe.weights if args.weights is None else args.weights
    weights = None if weights == "none" else weights
    show_progress()
    if not args.resume:
        _check_weights(recipe, weights)
    finder = _finder(args, recipe)
    data = _data(args, recipe)
    from maskdet.training.fit import Start, fit
    from maskdet.training.pictures import write_pictures
    from maskdet.training.validation import by_source, class_report

    material = _material(args, data, recipe, finder, out)
    about = _about(args, data, material, _command(args, recipe, out))
    if not args.resume:
        about["start"] = weights and Path(weights).name
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
    ended = recipe.patience is not None and waited(epochs_of(out)) >= recipe.patience
    status = finish(out, recipe.name, planned=recipe.epochs, ended=ended)
    if not status:
        say(f"next: maskdet export {out} --name {recipe.name}")
    return status


def _recipe(args: argparse.Namespace) -> Recipe:
    names = ("size_px", "batch_size", "steps", "drawn", "seed")
    recipe = with_knobs(
        RECIPES[args.recipe], {name: getattr(args, name) for name in names}
    )
    last = with_knobs(recipe.stages[-1], {"learning_rate": args.learning_rate})
    recipe = dataclasses.replace(
        recipe, stages=(*recipe.stages[:-1], last), verifies=bool(args.negatives)
    )
    if args.epochs is None:
        return recipe
    try:
        return recipe.with_epochs(args.epochs)
    except ValueError as error:
        raise ValueError(f"--epochs {args.epochs}: {error}") from None


def _check_weights(recipe: Recipe, weights: str | None) -> None:
    """Make sure, before the data are read, that the network can start from them."""
    if weights is None:
        return
    if weights != "imagenet" and not Path(weights).is_file():
        raise FileNotFoundError(
            f"--weights {weights}: there is no such file; `--weights imagenet` "
            "downloads the usual ones, `--weights none` starts from random weights"
        )
    from maskdet.training.network import build_network

    build_network(recipe, weights)


def _finder(args: argparse.Namespace, recipe: Recipe) -> Detector | None:
    """Return the face detector of a recipe that needs one, fit to draw with."""
    if recipe.views != "camera":
        return None
    from maskdet.training.material import landmark_finder

    finder = find_with(args.finder)
    return landmark_finder(finder) if recipe.drawn else finder


def _data(args: argparse.Namespace, recipe: Recipe) -> TrainingData:
    """Read the pictures, check them, and tell what was found."""
    data = load_training_data(
        args.data,
        args.val,
        seed=recipe.seed,
        shares=recipe.shares,
        source=args.source,
        corrections=args.corrections,
        classes=class_names(args),
        progress=bar("checking"),
    )
    for line in data.report.lines():
        say(line)
    return data


def _material(
    args: argparse.Namespace,
    data: TrainingData,
    recipe: Recipe,
    finder: Detector | None,
    out: Path,
) -> Material:
    from maskdet.training.material import PACKED_FILE, Parts, prepare, recut

    if not args.resume:  # how crops are cut and drawn may have changed since
        (out / PACKED_FILE).unlink(missing_ok=True)
    parts = Parts(data.train, data.validation, data.test)
    if not args.val:
        parts = recut(parts, recipe)
    counts = ", ".join(f"{len(part)} {title}" for title, part in vars(parts).items())
    say(f"pictures for the recipe {recipe.name}: {counts}")
    negatives = read_negatives_of(args)
    return prepare(parts, recipe, out, lambda: finder, bar, negatives, args.workers)


def _about(
    args: argparse.Namespace, data: TrainingData, material: Material, command: str
) -> dict[str, object]:
    """Return what the card of the run needs to know beside the recipe."""
    return {
        "command": command,
        "data": [_name(Path(path)) for path in args.data],
        "val": [_name(Path(path)) for path in args.val],
        "only_source": args.source,
        "finder": args.finder,
        "crops": material.n,
        "class_counts": material.class_counts,
        "drawn_crops": material.drawn,
        "class_weights": material.class_weights.tolist(),
        "data_report": data.report.to_json(),
    }


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
        "batch_size",
        "drawn",
    ):
        value = getattr(args, option)
        if value is not None:
            words += [f"--{option.replace('_', '-')}", str(value)]
    for part in args.classes:
        words += ["--classes", part]
    if recipe.views == "camera":
        words += ["--finder", args.finder]
    return shlex.join([*words, "--seed", str(recipe.seed), "--out", str(out)])


def _name(path: Path) -> str:
    """Return what data is called, such as `faces` or `kaggle-train`."""
    path = path.resolve()
    return path.parent.name if path.name == "index.csv" else path.stem
