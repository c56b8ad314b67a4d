"""`maskdet train onepass`: train the single-stage network."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskdet.cli.console import print_line, print_warning
from maskdet.cli.training_run import (
    add_data_options,
    add_run_options,
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
    recipe_option,
    trace_initial_weights,
    write_training_report,
)
from maskdet.training.run_log import read_epochs
from maskdet.types import CLASSES
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.classifier import Classifier
    from maskdet.datasets import TrainingData
    from maskdet.detectors import LandmarkDetector
    from maskdet.training.onepass.fit import OnePassData
    from maskdet.training.onepass.recipe import OnePassRecipe

ONEPASS_NETWORK = "onepass"
"""Name of the network in a recipe, by which `export` identifies a run."""

PACKED_IMAGES_FILE = "scenes.npz"

_RECIPE_OPTIONS = (
    "epochs",
    "steps",
    "batch_size",
    "learning_rate",
    "body_rate",
    "drawn",
    "seed",
)


def add_onepass_parser(
    networks: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add `onepass` to the networks of `train`."""
    parser = networks.add_parser(
        "onepass",
        help="a network that detects and classifies faces in one stage",
        description="Train one network that detects and classifies faces, on images "
        "with boxes.",
    )
    add_data_options(
        parser,
        data="images with boxes: COCO, VOC or YOLO. `maskdet label` adds boxes to "
        "images of one face",
        val="those that --data marks as validation",
    )
    _add_network_options(parser)
    add_run_options(
        parser,
        out="runs/onepass",
        detector="face detector with landmarks, to draw masks on faces; `none` to draw "
        "none",
        learning_rate="highest learning rate of the class branch",
    )
    parser.set_defaults(out=Path("runs/onepass"))


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this network has."""
    add = parser.add_argument
    add(
        "--loose",
        nargs="+",
        default=[],
        metavar="SOURCE[=WEIGHT]",
        help="sources whose boxes are approximate, made by a detector: weight of their "
        "boxes in the box loss, from 0 to 1 (default: 0)",
    )
    add(
        "--detection-teacher",
        type=Path,
        metavar="FILE.tflite",
        help="exported single-stage network that is run on the training images first: "
        "its detections without a label are ignored instead of trained as background, "
        "and faces with a low score are sampled more often",
    )
    add(
        "--weights",
        metavar="FILE",
        help="initial weights: YuNet's ONNX file, best.weights.h5 of another run, or "
        "an exported .tflite file with float weights",
    )
    add(
        "--teacher",
        metavar="NAME",
        help="classifier whose probabilities are added as soft targets",
    )
    add(
        "--distractor-fraction",
        type=float,
        dest="distracted",
        metavar="F",
        help="fraction of training images with pasted objects that are not faces",
    )
    add(
        "--negatives-fraction",
        type=float,
        metavar="F",
        help="fraction of training images taken from --negatives (default: 0.25)",
    )
    add(
        "--backbone-rate",
        type=float,
        dest="body_rate",
        metavar="F",
        help="learning rate of YuNet's layers, as a fraction of --learning-rate",
    )


def run_onepass_training(args: argparse.Namespace) -> int:
    """Train the single-stage network; see `maskdet.training.onepass`."""
    if args.weights is not None and not Path(args.weights).is_file():
        raise FileNotFoundError(f"--weights {args.weights}: there is no such file")
    detection_teacher = args.detection_teacher
    if detection_teacher is not None and not detection_teacher.is_file():
        raise FileNotFoundError(
            f"--detection-teacher {detection_teacher}: there is no such file"
        )
    check_training_paths(args, args.out)
    enable_training_log()
    from maskdet.classifier import load_classifier
    from maskdet.training.onepass.fit import check_initial_weights, fit_onepass

    recipe = _parse_onepass_recipe(args)
    if args.weights is not None and not args.resume:
        check_initial_weights(Path(args.weights))
    detector = _load_landmark_detector(args, recipe)
    teacher = load_classifier(args.teacher) if args.teacher else None
    data = load_data_options(args, recipe.seed)
    _warn_unknown_sources(args.loose, data)
    args.out.mkdir(parents=True, exist_ok=True)
    training_data = _pack_training_data(args, data, recipe, teacher, detector)
    run_facts = _collect_onepass_run_facts(args, data, recipe, training_data)
    results = fit_onepass(
        training_data,
        args.out,
        recipe,
        args.weights,
        resume=args.resume,
        metadata=run_facts,
    )
    if len(read_epochs(args.out)) >= recipe.epochs:
        (args.out / PACKED_IMAGES_FILE).unlink(missing_ok=True)  # kept for --resume
    lines = [f"{name}: {result}" for name, result in results.items()]
    write_training_report(args.out, lines)
    return finish_training(
        args.out,
        ONEPASS_NETWORK,
        export=str(args.out),
        n_planned_epochs=recipe.epochs,
    )


def _parse_onepass_recipe(args: argparse.Namespace) -> OnePassRecipe:
    from maskdet.training.onepass.recipe import OnePassRecipe

    recipe = override_recipe(
        OnePassRecipe(), {name: getattr(args, name) for name in _RECIPE_OPTIONS}
    )
    augmentation = override_recipe(recipe.views, {"distracted": args.distracted})
    borders = (
        *augmentation.borders,
        *(_parse_loose_source(loose_source) for loose_source in args.loose),
    )
    recipe = override_recipe(recipe, {"negatives": args.negatives_fraction})
    augmentation = dataclasses.replace(augmentation, borders=borders)
    return dataclasses.replace(recipe, views=augmentation)


def _load_landmark_detector(
    args: argparse.Namespace, recipe: OnePassRecipe
) -> LandmarkDetector | None:
    """Return the face detector for drawing masks; None if none are drawn."""
    from maskdet.training.classifier.data import require_landmark_detector

    detector = load_detector_option(args.detector) if recipe.drawn else None
    return None if detector is None else require_landmark_detector(detector)


def _warn_unknown_sources(loose: Sequence[str], data: TrainingData) -> None:
    """Warn about sources of `--loose` without images, which may be typing errors."""
    sources = {example.source for example in data.train}
    for source in (_parse_loose_source(loose_source)[0] for loose_source in loose):
        # "drawn" is also the source of synthetic images, which are added later.
        if source not in sources | {"drawn"}:
            print_warning(
                f"--loose {source}: no images of this source; there are "
                f"{', '.join(sorted(sources))}"
            )


def _parse_loose_source(loose_source: str) -> tuple[str, float]:
    """Parse a source and the weight of its boxes, 0 by default."""
    source, has_weight, weight = loose_source.partition("=")
    try:
        return source, float(weight) if has_weight else 0.0
    except ValueError:
        raise ValueError(
            f"--loose {loose_source}: must be a source, or a source and a weight from "
            "0 to 1 such as ilc=0.5"
        ) from None


def _pack_training_data(
    args: argparse.Namespace,
    data: TrainingData,
    recipe: OnePassRecipe,
    teacher: Classifier | None,
    detector: LandmarkDetector | None,
) -> OnePassData:
    """Pack the training images into a file, or read the file of a resumed run."""
    from maskdet.training.onepass.augment import draw_training_images
    from maskdet.training.onepass.data import (
        HELD_OUT_FILE,
        VALIDATION_FILE,
        DetectionTeacher,
        NegativeImages,
        PackedImages,
        apply_detection_teacher,
        read_packed_images,
        read_training_images,
        save_packed_images,
    )
    from maskdet.training.onepass.fit import OnePassData

    held_out = read_training_images(
        data.validation, make_progress_bar("reading validation")
    )
    # The export evaluates on the same images.
    save_packed_images(
        PackedImages.pack(held_out), args.out / VALIDATION_FILE, "validation"
    )
    fingerprint = _compute_fingerprint(args, data, recipe)
    packed = read_packed_images(args.out / PACKED_IMAGES_FILE, fingerprint)
    if packed is None:
        image_regions = read_training_images(
            data.train, make_progress_bar("packing"), teacher
        )
        if args.detection_teacher is not None:
            detection_teacher = DetectionTeacher(args.detection_teacher)
            image_regions = apply_detection_teacher(
                image_regions,
                detection_teacher,
                make_progress_bar("detecting unlabelled faces"),
            )
        if detector is not None:
            image_regions += draw_training_images(
                image_regions,
                detector,
                recipe.drawn,
                recipe.seed,
                make_progress_bar("drawing"),
            )
        packed = PackedImages.pack(image_regions)
        save_packed_images(packed, args.out / PACKED_IMAGES_FILE, fingerprint)
    print_line(
        f"scenes to train on: {len(packed)}, with "
        f"{format_count(len(packed.labels), 'face')}"
    )
    negatives = read_negatives_options(args) or NegativeImages()
    (args.out / HELD_OUT_FILE).unlink(missing_ok=True)
    if negatives.held_out:
        save_packed_images(
            PackedImages.pack(negatives.held_out), args.out / HELD_OUT_FILE, "held out"
        )
    return OnePassData(packed, held_out, negatives=negatives, workers=args.workers)


def _compute_fingerprint(
    args: argparse.Namespace, data: TrainingData, recipe: OnePassRecipe
) -> str:
    """Return a hash of everything that the packed images depend on."""
    parts: list[object] = [args.detector, args.teacher, recipe.drawn, recipe.seed]
    if args.detection_teacher is not None:
        parts.append(hashlib.sha256(args.detection_teacher.read_bytes()).hexdigest())
    for example in data.train:
        parts += [
            example.path,
            example.source,
            example.boxes.tolist(),
            example.ignore_boxes.tolist(),
            [int(label) for label in example.labels],
        ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _collect_onepass_run_facts(
    args: argparse.Namespace,
    data: TrainingData,
    recipe: OnePassRecipe,
    training_data: OnePassData,
) -> dict[str, object]:
    """Return the facts of the run for its model card, besides the recipe."""
    run_facts: dict[str, object] = {
        "network": ONEPASS_NETWORK,
        **collect_data_facts(args, data, _format_onepass_command(args, recipe)),
        "teacher": args.teacher,
        "scenes": len(training_data.packed_images),
        "negative_images": len(training_data.negatives.train),
        "held_out_negatives": len(training_data.negatives.held_out),
        "drawn_scenes": len(training_data.packed_images)
        - sum(not example.is_crop for example in data.train),
        "class_counts": [
            int((training_data.packed_images.labels == label).sum())
            for label in CLASSES
        ],
    }
    if not args.resume:
        initial_weights, commands = trace_initial_weights(args.weights)
        run_facts |= {"weights": initial_weights, "before": commands}
    return run_facts


def _format_onepass_command(args: argparse.Namespace, recipe: OnePassRecipe) -> str:
    """Return the command that reproduces this run."""
    values = {name: getattr(recipe, name) for name in _RECIPE_OPTIONS}
    values["distracted"] = recipe.views.distracted
    if args.negatives:
        values["negatives"] = recipe.negatives
    options = {
        "--data": args.data,
        "--val": args.val,
        "--loose": args.loose,
        "--negatives": args.negatives,
        "--held-out-kinds": args.held_out_kinds,
        "--classes": ",".join(args.classes) or None,
        "--corrections": args.corrections,
        "--weights": args.weights,
        "--teacher": args.teacher,
        "--detector": args.detector,
        "--detection-teacher": args.detection_teacher,
        **{recipe_option(name): value for name, value in values.items()},
        "--out": args.out,
    }
    return format_command(["train", "onepass"], options)
