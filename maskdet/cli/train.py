"""`maskdet train`: train a classifier or, in `train_onepass`, the onepass network."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.cli import train_onepass
from maskdet.cli.console import print_line
from maskdet.cli.training_run import (
    add_data_options,
    add_run_options,
    check_training_libraries,
    check_training_paths,
    collect_data_facts,
    enable_training_log,
    finish_training,
    format_command,
    load_data_options,
    load_detector_option,
    make_progress_bar,
    override_recipe,
    read_negatives_options,
    trace_initial_weights,
    write_training_report,
)
from maskdet.training.classifier.recipes import RECIPES, ClassifierRecipe
from maskdet.training.run_log import read_epochs

if TYPE_CHECKING:
    from maskdet.datasets import TrainingData
    from maskdet.detectors import Detector
    from maskdet.training.classifier.data import ClassifierData

_RECIPES_HELP = "\n".join(
    f"  {recipe.name:12}{recipe.title}: {recipe.about}" for recipe in RECIPES.values()
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` and its networks."""
    networks = subparsers.add_parser(
        "train", help="train a classifier or the single-stage network"
    ).add_subparsers(dest="network", metavar="NETWORK", required=True)
    train_onepass.add_onepass_parser(networks)
    parser = networks.add_parser(
        "classifier",
        help="a network that classifies single faces",
        description="Train a classifier for mask, no mask and incorrectly worn.",
        epilog=f"recipes:\n{_RECIPES_HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="maskdet",
        help="training recipe; see below (default: maskdet)",
    )
    add_data_options(
        parser,
        data="a folder for each class, index.csv, COCO, VOC or YOLO",
        val="those that --data marks as validation, else a part of it",
    )
    parser.add_argument("--source", help="only images of this source, such as drawn")
    parser.add_argument(
        "--weights",
        help="initial weights of MobileNetV2: a .weights.h5 file, a .tflite file that "
        "`maskdet export` wrote with float weights, `imagenet` to download them "
        "(default), `none` for random weights",
    )
    parser.add_argument("--size-px", type=int, help="side of the input, in pixels")
    add_run_options(
        parser,
        out="runs/RECIPE",
        detector="recipe maskdet: face detector for images of one face, and for the "
        "landmarks of synthetic masks; `none` for none",
        learning_rate="learning rate of the last stage",
    )


def run(args: argparse.Namespace) -> int:
    """Train the chosen network; see `maskdet.training`."""
    check_training_libraries()
    if args.network == "onepass":
        return train_onepass.run_onepass_training(args)
    recipe = _parse_recipe(args)
    out = args.out or Path("runs") / recipe.name
    check_training_paths(args, out)
    weights = recipe.weights if args.weights is None else args.weights
    weights = None if weights == "none" else weights
    enable_training_log()
    if not args.resume:
        _check_weights(recipe, weights)
    detector = _load_detector(args, recipe)
    data = load_data_options(
        args, recipe.seed, fractions=recipe.split_fractions, source=args.source
    )
    from maskdet.training.classifier.data import write_contact_sheets
    from maskdet.training.classifier.fit import fit_classifier
    from maskdet.training.classifier.validation import (
        compute_metrics_by_source,
        format_class_report,
    )

    training_data = _prepare_data(args, data, recipe, detector, out)
    run_facts = _collect_run_facts(
        args, data, training_data, _format_command(args, recipe, out)
    )
    if not args.resume:
        initial_weights, commands = trace_initial_weights(weights)
        run_facts |= {"start": initial_weights, "before": commands}
    probs = fit_classifier(
        training_data, out, recipe, weights, resume=args.resume, metadata=run_facts
    )
    held_out = training_data.validation
    results = compute_metrics_by_source(held_out.sources, held_out.labels, probs)
    report = ["validation", *format_class_report(held_out.labels, probs)]
    report += [f"{source}: {result}" for source, result in results.items()]
    write_training_report(out, report, write_contact_sheets(training_data, out))
    return finish_training(
        out,
        recipe.name,
        export=f"{out} --name {recipe.name}",
        n_planned_epochs=recipe.epochs,
        has_ended=recipe.stops_early(read_epochs(out)),
    )


def _parse_recipe(args: argparse.Namespace) -> ClassifierRecipe:
    names = ("size_px", "batch_size", "steps", "drawn", "seed")
    recipe = override_recipe(
        RECIPES[args.recipe], {name: getattr(args, name) for name in names}
    )
    last = override_recipe(recipe.stages[-1], {"learning_rate": args.learning_rate})
    recipe = dataclasses.replace(
        recipe, stages=(*recipe.stages[:-1], last), verifies=bool(args.negatives)
    )
    if args.epochs is None:
        return recipe
    try:
        return recipe.with_epochs(args.epochs)
    except ValueError as error:
        raise ValueError(f"--epochs {args.epochs}: {error}") from None


def _check_weights(recipe: ClassifierRecipe, weights: str | None) -> None:
    """Check before reading the data that the initial weights can be loaded."""
    if weights is None:
        return
    if weights != "imagenet" and not Path(weights).is_file():
        raise FileNotFoundError(
            f"--weights {weights}: there is no such file; `--weights imagenet` "
            "downloads ImageNet weights, `--weights none` starts from random weights"
        )
    from maskdet.training.classifier.network import build_classifier

    build_classifier(recipe, weights)


def _load_detector(
    args: argparse.Namespace, recipe: ClassifierRecipe
) -> Detector | None:
    """Return the face detector if the recipe needs one, with landmarks if it draws."""
    if recipe.views != "camera":
        return None
    from maskdet.training.classifier.data import require_landmark_detector

    detector = load_detector_option(args.detector)
    return require_landmark_detector(detector) if recipe.drawn else detector


def _prepare_data(
    args: argparse.Namespace,
    data: TrainingData,
    recipe: ClassifierRecipe,
    detector: Detector | None,
    out: Path,
) -> ClassifierData:
    from maskdet.training.classifier.data import (
        PACKED_FILE,
        prepare_classifier_data,
        resplit,
    )

    if not args.resume:  # the crops may depend on changed options
        (out / PACKED_FILE).unlink(missing_ok=True)
    splits = data if args.val else resplit(data, recipe)
    print_line(
        f"images for the recipe {recipe.name}: {len(splits.train)} train, "
        f"{len(splits.validation)} validation, {len(splits.test)} test"
    )
    negatives = read_negatives_options(args)
    return prepare_classifier_data(
        splits,
        recipe,
        out,
        detector,
        make_progress_bar,
        negatives,
        args.workers,
    )


def _collect_run_facts(
    args: argparse.Namespace,
    data: TrainingData,
    training_data: ClassifierData,
    command: str,
) -> dict[str, object]:
    """Return the facts of the run for its model card, besides the recipe."""
    return {
        **collect_data_facts(args, data, command),
        "only_source": args.source,
        "detector": args.detector,
        "crops": training_data.n_crops,
        "class_counts": training_data.class_counts,
        "drawn_crops": training_data.n_drawn,
        "class_weights": training_data.class_weights.tolist(),
    }


def _format_command(
    args: argparse.Namespace, recipe: ClassifierRecipe, out: Path
) -> str:
    """Return the command that reproduces this run."""
    options = {
        "--recipe": recipe.name,
        "--data": args.data,
        "--val": args.val,
        "--negatives": args.negatives,
        "--held-out-kinds": args.held_out_kinds,
        "--corrections": args.corrections,
        "--source": args.source,
        "--weights": args.weights,
        "--epochs": args.epochs,
        "--steps": args.steps,
        "--learning-rate": args.learning_rate,
        "--size-px": args.size_px,
        "--batch-size": args.batch_size,
        "--drawn": args.drawn,
        "--classes": ",".join(args.classes) or None,
        "--detector": args.detector if recipe.views == "camera" else None,
        "--seed": recipe.seed,
        "--out": out,
    }
    return format_command(["train", "classifier"], options)
